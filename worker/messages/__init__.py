"""The words that reach a phone: SMS texts and TwiML, in the locale's language."""

from twilio.twiml.voice_response import Gather, VoiceResponse

from worker.messages.catalogue import LOCALES, SPOKEN, fill, resolve_locale, text
from worker.messages.checks import (
    MAX_RETRIEVER_BYTES,
    TextRefusedError,
    check_brand,
    check_final,
    check_origin,
    has_link,
)
from worker.messages.patterns import check_pattern, fill_pattern
from worker.messages.segments import segments

REPEATS = 3  # how often a call reads the code
GATE_SECONDS = 8  # how long a call waits for a key, each of two times
MAX_TWIML = 4000  # characters Twilio takes in a call's Twiml parameter


def sms_text(
    *,
    code: str,
    brand: str,
    locale: str,
    do_not_share: bool = False,
    app_hash: str | None = None,
    origin: str | None = None,
    pattern: str | None = None,
    payment: tuple[str, str] | None = None,
) -> str:
    """The SMS, proven by `check_final`.

    :param app_hash: 11 characters; the text then begins with `<#>` and ends with the hash
    :param origin: host; the last line is then `@host #code`
    :param pattern: the text of a template, in place of ours and its warning
    :param payment: amount and payee, shown after the code
    :raises TextRefusedError: the text cannot carry what was asked for
    """
    if pattern is not None:
        words = fill_pattern(pattern, code=code, friendly_name=brand)
    else:
        common = text(locale, "Your {brand} verification code is: {code}")
        words = fill(common, brand=brand, code=code)
    if payment is not None:
        amount, payee = payment
        words = f"{words.removesuffix('.')} ({payee}, {amount})"
    if do_not_share and pattern is None:
        warned = f"{words}. {text(locale, 'Do not share this code with anyone.')}"
        body = _with_marks(warned, code, app_hash, origin)
        # One part, and what the phone's app can read, matter more than the warning.
        readable = app_hash is None or len(body.encode()) <= MAX_RETRIEVER_BYTES
        if readable and segments(body).parts == 1:
            words = warned
    body = _with_marks(words, code, app_hash, origin)
    check_final(body, code=code, app_hash=app_hash, origin=origin)
    return body


def _with_marks(body: str, code: str, app_hash: str | None, origin: str | None) -> str:
    if app_hash is not None:
        body = f"<#> {body}"
    if origin is not None:
        body = f"{body}\n\n@{origin} #{code}"
    if app_hash is not None:
        body = f"{body} {app_hash}"
    return body


def call_twiml(*, code: str, brand: str, locale: str) -> str:
    """TwiML that says the digits one by one, three times, with pauses, and hangs up.

    :raises TextRefusedError: longer than Twilio takes
    """
    response, language = VoiceResponse(), SPOKEN[locale]
    digits = ", ".join(code)
    response.say(
        fill(text(locale, "Your {brand} verification code is"), brand=brand), language=language
    )
    for _ in range(REPEATS):
        response.pause(length=1)
        response.say(f"{digits}.", language=language)
    response.pause(length=1)
    response.say(text(locale, "Goodbye."), language=language)
    return _hung_up(response)


def call_gate_twiml(*, brand: str, locale: str, action_url: str) -> str:
    """TwiML that asks for a key and holds no digit; without a key the call ends unspoken.

    :param action_url: where Twilio asks for the rest once a key is pressed, # among them
    :raises TextRefusedError: longer than Twilio takes
    """
    response = VoiceResponse()
    words = fill(
        text(locale, "This is {brand}. Press any key to hear your verification code."), brand=brand
    )
    for _ in range(2):
        gather = Gather(
            num_digits=1,
            timeout=GATE_SECONDS,
            action=action_url,
            method="POST",
            finish_on_key="",
        )
        gather.say(words, language=SPOKEN[locale])
        response.append(gather)
    return _hung_up(response)


def _hung_up(response: VoiceResponse) -> str:
    response.hangup()
    twiml = str(response)
    if len(twiml) > MAX_TWIML:
        raise TextRefusedError(f"the call's TwiML is longer than {MAX_TWIML} characters")
    return twiml


__all__ = [
    "LOCALES",
    "TextRefusedError",
    "call_gate_twiml",
    "call_twiml",
    "check_brand",
    "check_final",
    "check_origin",
    "check_pattern",
    "has_link",
    "resolve_locale",
    "sms_text",
]
