import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import InvalidParameterError
from worker.phone import Phone, mask, parse
from worker.states import Channel

US = "+14155552671"
GB = "+447400123456"
AR = "+5491112345678"


@pytest.mark.parametrize(
    ("raw", "e164"),
    [
        ("+14155552671", US),
        ("+1 (415) 555-2671", US),
        ("+1.415.555.2671", US),
        ("+1/415/555/2671", US),
        ("(+1) 415 555 2671", US),
        ("  +14155552671 ", US),
        ("++14155552671", US),
        ("＋１４１５５５５２６７１", US),
        ("+١٤١٥٥٥٥٢٦٧١", US),
        ("+1415\u200b5552671", US),
        ("\u2066+1\u00a0415\u2011555\u20132671\u2069", US),
        ("tel:+1-415-555-2671", US),
        ("TEL:+14155552671", US),
        ("+44 (0)7400 123456", GB),
        ("+44 0 7400 123456", GB),
        ("+5491112345678", AR),
        ("+54 9 11 1234-5678", AR),
        ("+541112345678", AR),
        ("+54 11 15 1234 5678", AR),
        ("+2290197123456", "+2290197123456"),
    ],
)
def test_every_unambiguous_spelling_of_a_number_is_one_key(raw: str, e164: str) -> None:
    """However a number is written, limits and look-ups see one spelling, on every channel."""
    assert parse(raw, Channel.SMS).e164 == e164
    assert parse(raw, Channel.CALL).e164 == e164


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "+",
        "tel:",
        "1-415-555-2671",
        "14155552671",
        "011 1 415 555 2671",
        "0014155552671",
        "07400 123456",
        "+14155552671 x12",
        "+14155552671;ext=12",
        "tel:+1-415-555-2671;ext=12",
        "tel:415-555-2671;phone-context=+1",
        "+14155552671,,123#",
        "+14155552671 ext. 5",
        "+1415555CALL",
        "+4915123456789abc",
        "+1 415 555 2671+",
        "+1415555267¹",
        "+14155552671\r\nBcc: +14155552672",
        "+14155552671\n",
        "+1415555\x002671",
        "+1\t4155552671",
        "+" + "1" * 64,
        "+1 415 555 2671" + " " * 64,
        "+4930000000000000",
        "+112",
        "+1911",
        "+0014155552671",
        "+999123456789",
        "+5215512345678",
        "+551181234567",
        "+22997123456",
    ],
)
def test_what_could_be_two_numbers_or_none_is_refused(raw: str) -> None:
    """Local, extended, lettered, short, outdated and smuggled spellings are refused."""
    for channel in Channel:
        with pytest.raises(InvalidParameterError) as caught:
            parse(raw, channel)
        assert caught.value.field == "To"
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "raw",
    [
        "+19005551234",  # premium
        "+979123456789",  # international premium
        "+18003569377",  # toll-free
        "+80012345678",  # international toll-free
        "+882161234567",  # global network
        "+870773111632",  # satellite
        "+15005550006",  # personal
    ],
)
def test_numbers_that_cost_or_are_nobodys_phone_are_refused(raw: str) -> None:
    """Premium, toll-free and personal numbers and those of no country are never sent to."""
    for channel in Channel:
        with pytest.raises(InvalidParameterError):
            parse(raw, channel)


def test_no_country_has_a_special_number_that_passes() -> None:
    """Every country's example of a costly or special kind of number is refused."""
    kinds = phonenumbers.PhoneNumberType
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in (
            kinds.PREMIUM_RATE,
            kinds.SHARED_COST,
            kinds.TOLL_FREE,
            kinds.PERSONAL_NUMBER,
            kinds.PAGER,
            kinds.UAN,
            kinds.VOICEMAIL,
        ):
            number = phonenumbers.example_number_for_type(region, kind)
            # Some plans give two kinds one range; then the kind that libphonenumber names counts.
            if number is None or phonenumbers.number_type(number) != kind:
                continue
            for channel in Channel:
                with pytest.raises(InvalidParameterError):
                    parse(phonenumbers.format_number(number, 0), channel)


def test_an_internet_number_is_sent_to() -> None:
    """VoIP numbers of a country are taken on both channels."""
    for channel in Channel:
        assert parse("+445612345678", channel) == Phone("+445612345678", "GB")


def test_a_landline_is_called_but_takes_no_sms() -> None:
    """A landline is refused for SMS with a hint at the call, and accepted for the call."""
    with pytest.raises(InvalidParameterError, match="call"):
        parse("+390236618300", Channel.SMS)
    assert parse("+390236618300", Channel.CALL) == Phone("+390236618300", "IT")


@pytest.mark.parametrize(
    ("raw", "country"),
    [
        ("+14155552671", "US"),
        ("+18765551234", "JM"),
        ("+14165551234", "CA"),
        ("+447400123456", "GB"),
        ("+447797712345", "JE"),
        ("+77012345678", "KZ"),
    ],
)
def test_the_country_is_that_of_the_plan_not_of_the_code(raw: str, country: str) -> None:
    """Countries that share a calling code are told apart."""
    assert parse(raw, Channel.SMS).country == country


def test_every_countrys_example_numbers_are_their_own_key() -> None:
    """The key of a key is itself, and each printed format of a number gives the same key."""
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in (
            phonenumbers.PhoneNumberType.MOBILE,
            phonenumbers.PhoneNumberType.FIXED_LINE,
            phonenumbers.PhoneNumberType.VOIP,
        ):
            number = phonenumbers.example_number_for_type(region, kind)
            if number is None:
                continue
            keys = {
                parse(phonenumbers.format_number(number, form), Channel.CALL).e164
                for form in (
                    phonenumbers.PhoneNumberFormat.E164,
                    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
                    phonenumbers.PhoneNumberFormat.RFC3966,
                )
            }
            assert len(keys) == 1
            assert {parse(key, Channel.CALL).e164 for key in keys} == keys


@settings(max_examples=500, database=None, deadline=None)
@given(
    st.one_of(
        st.text(max_size=80),
        st.text(alphabet="+＋0123456789٠١٢３４ ()-./;,x#tel:\u200b", max_size=40),
        st.from_regex(r"\+[1-9][0-9]{5,15}", fullmatch=True),
    ),
    st.sampled_from(list(Channel)),
)
def test_any_text_is_a_phone_or_a_clean_refusal(raw: str, channel: Channel) -> None:
    """Whatever comes in, the answer is a well-formed key or a refusal without a digit of it."""
    refusal, phone = "", None
    try:
        phone = parse(raw, channel)
    except InvalidParameterError as error:
        refusal = str(error)
    assert not any(char.isdigit() for char in refusal)
    if phone is not None:
        assert re.fullmatch(r"\+[1-9][0-9]{6,14}", phone.e164)
        assert re.fullmatch(r"[A-Z]{2}", phone.country)
        assert parse(phone.e164, channel) == phone
        assert phone.e164 not in repr(phone)


@pytest.mark.parametrize(
    ("e164", "shown"),
    [
        ("+447700900001", "+44********01"),
        ("+14155552671", "+1********71"),
        ("+2290197123456", "+229********56"),
        ("+999123456789", "*************"),
        ("not a number", "************"),
        ("+4412", "*****"),
        ("", ""),
    ],
)
def test_a_masked_number_shows_country_and_two_digits(e164: str, shown: str) -> None:
    """A masked number keeps only its country code and last two digits; other text keeps nothing."""
    assert mask(e164) == shown


@pytest.mark.parametrize("raw", ["+447700900001", "+44 7700 900001", "+44 (0)7700 900001"])
def test_numbers_reserved_for_drama_are_one_number(raw: str) -> None:
    """Ofcom's 07700 900xxx, which nobody has, may be sent to; its neighbours are not valid."""
    assert parse(raw, Channel.SMS) == Phone("+447700900001", "GB")
    with pytest.raises(InvalidParameterError):
        parse("+447700901000", Channel.SMS)
    assert parse("+12025550123", Channel.SMS).country == "US"
