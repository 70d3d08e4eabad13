"""The words that reach a phone."""

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from worker import messages
from worker.errors import InvalidParameterError
from worker.messages import LOCALES, TextRefusedError, check_brand, resolve_locale, sms_text
from worker.messages.catalogue import SPOKEN
from worker.messages.checks import check_final, check_origin
from worker.messages.segments import segments

UCS2 = {"ar", "hi", "ja", "ru", "zh"}
CODE = "0042170042"
HASH = "FA+9qCX9VSu"
CATALOGUES = sorted(Path(messages.__file__).parent.glob("locales/*/LC_MESSAGES/sendcode.po"))


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("do_not_share", [False, True])
def test_every_text_is_one_segment(locale: str, do_not_share: bool) -> None:
    """An SMS is one segment with the longest code, a 30-letter brand in GSM-7, 12 in UCS-2."""
    brand = "B" * (12 if locale in UCS2 else 30)
    text = sms_text(code=CODE, brand=brand, locale=locale, do_not_share=do_not_share)
    counted = segments(text)
    assert counted.parts == 1, text
    assert (counted.encoding == "UCS-2") == (locale in UCS2), counted.offending


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda p: p.parts[-3])
def test_compiled_catalogues_match_their_sources(path: Path) -> None:
    """What is shipped compiled says what its source says, and no text is missing."""
    source = read_po(io.BytesIO(path.read_bytes()))
    compiled = read_mo(io.BytesIO(path.with_suffix(".mo").read_bytes()))
    texts = {m.id: m.string for m in source if m.id}
    assert len(texts) == 5
    assert all(texts.values())
    assert {m.id: m.string for m in compiled if m.id} == texts
    for english, text in texts.items():
        assert {p for p in ("{brand}", "{code}") if p in english} == {
            p for p in ("{brand}", "{code}") if p in text
        }


def test_every_locale_has_its_catalogue() -> None:
    """Each offered language has a catalogue of its own; English is the source."""
    assert {p.parts[-3] for p in CATALOGUES} == set(LOCALES) - {"en", "en-GB"}


def test_default_text_is_twilios() -> None:
    """The English text reads as Verify's, with the warning as its second sentence."""
    text = sms_text(code="123456", brand="Acme", locale="en", do_not_share=True)
    assert text == ("Your Acme verification code is: 123456. Do not share this code with anyone.")


@pytest.mark.kills("name-is-a-pattern")
def test_braces_in_a_brand_stay_braces() -> None:
    """A brand is put in as it is, never read as a pattern (X-16)."""
    text = sms_text(code="123456", brand="{code} {0.__class__}", locale="en")
    assert text == "Your {code} {0.__class__} verification code is: 123456"


def test_app_hash_and_origin_stand_where_machines_look() -> None:
    """The Android hash ends the text, the origin line is the last one, both at once work."""
    common = {"code": "747723", "brand": "Acme", "locale": "en"}
    assert sms_text(**common, app_hash=HASH).startswith("<#> ")
    assert sms_text(**common, app_hash=HASH).endswith(f"747723 {HASH}")
    assert sms_text(**common, origin="example.com").endswith("\n\n@example.com #747723")
    both = sms_text(**common, origin="example.com", app_hash=HASH)
    assert both.split("\n")[-1] == f"@example.com #747723 {HASH}"


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("747723 is your code.\n\n@example.com #747723", True),
        ("747723\n\n@example.com #747723 @ecommerce.example", True),
        ("747723\n\n@example.com #747723 %future", True),
        ("747723\n\n@example.com #747723 FA+9qCX9VSu", True),
        ("code\n\n@example.com #747723", False),
        ("747723\n@evil.com #747723\n\n@example.com #747723", False),
        ("747723\n@example.com #747723", False),
        ("747723\n\nsomething @example.com #747723", False),
        ("747723\n\n#747723 @ecommerce.example @example.com", False),
        ("747723\n\n@example.com code #747723", False),
        ("747723\n\n@example.com  #747723", False),
        ("747723\n\n@example.com #747723\n", False),
        ("747723\n\n@example.com #747723\nReply STOP to opt out", False),
        ("747723\n\n@evil.com #747723", False),
        ("747723\n\n@example.com #111111", False),
        ("Your code 747723\u2028@example.com #747723", False),
    ],
)
def test_origin_line_follows_the_specification(text: str, good: bool) -> None:
    """A text whose last line a browser would not read is refused before it is sent (F-08)."""
    if good:
        check_final(text, code="747723", app_hash=None, origin="example.com")
    else:
        with pytest.raises(TextRefusedError):
            check_final(text, code="747723", app_hash=None, origin="example.com")


@pytest.mark.parametrize("origin", [None, "example.com"])
@pytest.mark.parametrize(
    "brand",
    ["Acme\n@evil.com #999999", "A\rB", "A\x00B", "A\u2028B", "A\u202eB", "A\u200bB", "\ud800"],
)
def test_a_brand_adds_no_line_and_no_hidden_character(brand: str, origin: str | None) -> None:
    """Even a name that check_brand would refuse is stopped before it is sent (X-16)."""
    with pytest.raises(TextRefusedError) as refused:
        sms_text(code="747723", brand=brand, locale="en", origin=origin, app_hash=HASH)
    assert "747723" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "12345", "01234", "12 34", "Code: A1234"])
def test_the_code_stands_alone_and_exact(text: str) -> None:
    """A text in which the code is missing or part of a longer word is not sent."""
    with pytest.raises(TextRefusedError):
        check_final(text, code="1234", app_hash=None, origin=None)


@pytest.mark.parametrize(
    ("text", "app_hash"),
    [
        (f"747723 {HASH}", HASH),
        (f"<#> 747723 {HASH} more", HASH),
        (f"<#> 747723{HASH}", HASH),
        (f"<#> 747723  {HASH}", HASH),
        ("<#> 747723 FA+9qCX9VS", "FA+9qCX9VS"),
        ("<#> 747723 FA+9qCX9VS=", "FA+9qCX9VS="),
    ],
)
def test_an_app_hash_is_whole_last_and_announced(text: str, app_hash: str) -> None:
    """A text that Android would not hand to the app is not sent (F-10)."""
    with pytest.raises(TextRefusedError):
        check_final(text, code="747723", app_hash=app_hash, origin=None)


@pytest.mark.parametrize("locale", LOCALES)
def test_every_locale_carries_an_app_hash(locale: str) -> None:
    """With a 30-letter brand and the longest code the default text keeps Android's 140 bytes."""
    text = sms_text(code=CODE, brand="B" * 30, locale=locale, app_hash=HASH)
    assert text.startswith("<#> ")
    assert len(text.encode()) <= 140


def test_a_text_too_long_for_the_hash_is_refused() -> None:
    """With an app hash a text of more than 140 bytes is not sent, and the error is silent."""
    long = {"code": "7477231234", "brand": "ж" * 30, "locale": "ru", "app_hash": HASH}
    with pytest.raises(TextRefusedError) as refused:
        sms_text(**long, origin="secure.example.com")
    assert "747723" not in str(refused.value)


def test_the_warning_gives_way_to_the_hash() -> None:
    """Where both do not fit into 140 bytes, the text goes out without the warning."""
    long = {"code": "7477231234", "brand": "ж" * 13, "locale": "ru"}
    assert "Никому" in sms_text(**long, do_not_share=True)
    assert "Никому" not in sms_text(**long, do_not_share=True, app_hash=HASH)
    assert "Никому" in sms_text(
        code="1234", brand="ж", locale="ru", do_not_share=True, app_hash=HASH
    )


@pytest.mark.kills("warning-makes-a-second-part")
@pytest.mark.parametrize("locale", sorted(LOCALES))
@pytest.mark.parametrize("origin", [None, "login.example.com"])
def test_the_warning_makes_no_second_part(locale: str, origin: str | None) -> None:
    """With the longest code and a brand as long as allowed, the warning is left out instead."""
    given = {"code": "7477231234", "brand": "ж" * 30, "locale": locale, "origin": origin}
    bare = segments(sms_text(**given)).parts
    assert segments(sms_text(**given, do_not_share=True)).parts == bare


@pytest.mark.parametrize(
    "name",
    [
        "Acme",
        "Acme Inc.",
        "Acme S.A.",
        "Foo Co., Ltd.",
        "O'Neil & Sons",
        "Ärzte 24",
        "日本",
        "A+ (B)",
        "1&1",
        "J. Crew",
        "हिन्दी बैंक",
    ],
)
def test_good_brands(name: str) -> None:
    """Names of firms pass as they are."""
    assert check_brand(f" {name} ") == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "x" * 31,
        "Acme\n@evil.com #123",
        "Acme\u2028x",
        "A\u202eB",
        "A\u200bB",
        "A\x00B",
        "A\ud800B",
        "A\u034fB",
        "A\ufe0fB",
        "\u3164",
        "...",
        "evil.com",
        "go to bit.ly/x",
        "evil.com'",
        "evil.com-",
        "evil.com&x",
        "EVIL.COM",
        "пример.рф",
        "उदाहरण.भारत",
        "evil.xn--p1ai",
        "WWW.x",
        "HTTP x",
        "http://x",
        "www.x",
        "see http now",
        "Acme 12345",
        "Acme ١٢٣٤٥",
        "<b>Acme</b>",
        "Acme</Say><Dial>1</Dial>",
        "{0.__class__}",
        "a@b",
        "a#b",
    ],
)
def test_bad_brands(name: str) -> None:
    """A name that could add a line, a link, markup or another code is refused."""
    with pytest.raises(InvalidParameterError):
        check_brand(name)


@pytest.mark.parametrize(
    "host", ["http://a.com", "A.com", "a.com:80", "a.com/x", "a", "-a.com", ""]
)
def test_bad_origins(host: str) -> None:
    """An origin is a bare lower-case host."""
    with pytest.raises(InvalidParameterError):
        check_origin(host)


def _tags(twiml: str) -> set[str]:
    return {element.tag for element in ElementTree.fromstring(twiml).iter()}


@pytest.mark.kills("call-says-a-number")
@pytest.mark.parametrize("locale", LOCALES)
def test_a_call_says_each_digit_three_times(locale: str) -> None:
    """A call reads the digits one by one, three times with pauses, and hangs up."""
    twiml = messages.call_twiml(code="0042170042", brand="&" * 30, locale=locale)
    root = ElementTree.fromstring(twiml)
    said = [e.text for e in root if e.tag == "Say"]
    assert said[1:-1] == ["0, 0, 4, 2, 1, 7, 0, 0, 4, 2."] * 3
    assert [e.tag for e in root] == ["Say", *["Pause", "Say"] * 4, "Hangup"]
    assert {e.get("language") for e in root.iter("Say")} == {SPOKEN[locale]}
    assert len(twiml) <= 4000


def test_twiml_too_long_for_twilio_is_refused() -> None:
    """A call whose TwiML is over 4,000 characters is not placed, and the error is silent."""
    with pytest.raises(TextRefusedError) as refused:
        messages.call_twiml(code="747723", brand="&" * 1000, locale="en")
    assert "747723" not in str(refused.value)


def test_markup_in_a_spoken_name_is_escaped() -> None:
    """Even a name that check_brand would refuse adds no verb to a call (X-17)."""
    evil = "Acme</Say><Dial>+19005551234</Dial><Say>"
    for twiml in (
        messages.call_twiml(code="1234", brand=evil, locale="en"),
        messages.call_gate_twiml(brand=evil, locale="en", action_url="https://x/?a=1&b=2"),
    ):
        assert _tags(twiml) <= {"Response", "Say", "Pause", "Gather", "Hangup"}


@pytest.mark.kills("gate-asks-once")
def test_the_gate_asks_twice_and_hangs_up() -> None:
    """Before a key is pressed nothing of the code is spoken, so an answering machine hears none."""
    twiml = messages.call_gate_twiml(brand="Acme", locale="de", action_url="https://x/gate")
    root = ElementTree.fromstring(twiml)
    assert [e.tag for e in root] == ["Gather", "Gather", "Hangup"]
    for gather in root.iter("Gather"):
        assert gather.attrib == {
            "numDigits": "1",
            "timeout": "8",
            "action": "https://x/gate",
            "method": "POST",
            "finishOnKey": "",
        }
    assert not any(c.isdigit() for say in root.iter("Say") for c in say.text or "")
    assert "Drücken Sie" in twiml


@pytest.mark.parametrize(
    ("requested", "country", "locale"),
    [
        (None, "FR", "fr"),
        (None, "fr", "fr"),
        ("zh-Hans-CN", None, "zh"),
        (None, "BR", "pt-BR"),
        (None, "ZZ", "en"),
        (None, None, "en"),
        ("de", "FR", "de"),
        ("DE", None, "de"),
        ("pt_br", None, "pt-BR"),
        ("pt-PT", None, "pt"),
        ("de-AT", None, "de"),
    ],
)
def test_locale_comes_from_request_country_english(
    requested: str | None, country: str | None, locale: str
) -> None:
    """The request's locale wins, then the number's country, then English."""
    assert resolve_locale(requested, country) == locale


@pytest.mark.parametrize(
    "requested",
    ["", "xx", "klingon", "../de", "d", "de" * 50, "de-", "de-!!!", "de-../..", " de", "de\n"],
)
def test_unknown_locales_are_refused(requested: str) -> None:
    """A locale we have no text for is an error, not English in silence."""
    with pytest.raises(InvalidParameterError):
        resolve_locale(requested, "DE")
