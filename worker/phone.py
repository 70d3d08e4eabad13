"""Phone numbers: one spelling per number, or a refusal that never repeats the number."""

import re
import unicodedata
from dataclasses import dataclass, field

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType

from worker.errors import InvalidParameterError, LandlineError
from worker.states import Channel

_MAX_LENGTH = 64
_MOST_DIGITS = 15  # ITU-T E.164, 6.2.1; libphonenumber takes 16 for some countries
_PLUS = "+＋"
_SEPARATORS = ".()[]/−．（）／"  # besides spaces, dashes and invisible format characters
_SEPARATOR_CATEGORIES = {"Zs", "Pd", "Cf"}
_NON_GEOGRAPHIC = "001"  # libphonenumber's region of satellite and global-service codes
_ARGENTINA = 54
_NANP = re.compile("1[2-9][0-9]{2}")  # `1 242` is what the Bahamas are dialled with
# Ofcom keeps these mobile numbers for films, demos and tests. No handset has one, so they are safe
# to send to; libphonenumber knows no such numbers.
_DRAMA = range(447_700_900_000, 447_700_901_000)
_ALLOWED = {
    Channel.SMS: {
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.VOIP,
    },
    Channel.CALL: {
        PhoneNumberType.MOBILE,
        PhoneNumberType.FIXED_LINE_OR_MOBILE,
        PhoneNumberType.VOIP,
        PhoneNumberType.FIXED_LINE,
    },
}


def regions() -> frozenset[str]:
    """The ISO 3166 codes of the countries that numbers can be of."""
    return frozenset(phonenumbers.SUPPORTED_REGIONS)


def region(text: str) -> str | None:
    """The ISO 3166 code that `text` is, in capitals; None where it is none.

    Of ASCII alone: the capitals of `ß` are the code of South Sudan.
    """
    code = text.upper()
    return code if text.isascii() and code in phonenumbers.SUPPORTED_REGIONS else None


@dataclass(frozen=True, slots=True)
class Phone:
    """A number that may be sent to.

    :param e164: its only spelling, `+447400123456`
    :param country: ISO 3166 code of the numbering plan it belongs to: `+1 876` is `JM`
    """

    e164: str = field(repr=False)
    country: str


def parse(raw: str, channel: Channel) -> Phone:
    """Read an international number in any unambiguous spelling.

    :param raw: starts with `+` or `tel:+`; separators and the digits of any script are fine.
        The same number gives the same `Phone` on every channel that takes it.
    :raises InvalidParameterError: not international, not valid, or of a kind we do not send to
    """
    number = _canonical(_number(_international(raw)))
    if number is None:
        raise _refused("is not a valid phone number")
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if len(e164) > 1 + _MOST_DIGITS:
        raise _refused("is not a valid phone number")
    if int(e164[1:]) in _DRAMA:
        return Phone(e164, "GB")
    kind = phonenumbers.number_type(number)
    if kind == PhoneNumberType.UNKNOWN:  # of numbers that are not valid, and of no other
        raise _refused("is not a valid phone number")
    country = phonenumbers.region_code_for_number(number)
    if country in (None, _NON_GEOGRAPHIC):
        raise _refused("belongs to no country: satellite and global services are not reached")
    if kind not in _ALLOWED[channel]:
        if kind == PhoneNumberType.FIXED_LINE:
            raise LandlineError("To", "is a landline, which takes no SMS: ask for a call")
        raise _refused("is a premium, toll-free, shared-cost, personal or other special number")
    return Phone(e164, country)


_TYPES = {
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.FIXED_LINE: "landline",
    PhoneNumberType.VOIP: "voip",
}


def carrier(e164: str) -> tuple[str | None, str | None]:
    """Type (`mobile`, `landline`, `voip`) and carrier, as far as the numbering plan tells: a
    ported number keeps its first carrier.
    """
    from phonenumbers import carrier as carriers  # large, and few services want it

    number = phonenumbers.parse(e164)
    name = carriers.name_for_number(number, "en") or None
    return _TYPES.get(phonenumbers.number_type(number)), name


def is_calling_code(digits: str) -> bool:
    """Whether a country's numbers begin with these digits, as `44`. An area code may follow a 1:
    `1242` is the Bahamas'.
    """
    if _NANP.fullmatch(digits):
        return True
    plain = digits.isascii() and digits.isdigit() and digits[0] != "0"
    return plain and len(digits) < 4 and int(digits) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE


def split(e164: str) -> tuple[int, str]:
    """The calling code and the digits after it."""
    code = phonenumbers.parse(e164).country_code or 0
    return code, e164[len(str(code)) + 1 :]


def calling_code(e164: str) -> str:
    """The calling code with its plus sign, `+44`; empty where there is none."""
    return next(
        (
            e164[: size + 1]
            for size in (1, 2, 3)
            if e164[1 : size + 1].isdecimal()
            and int(e164[1 : size + 1]) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE
        ),
        "",
    )


def mask(e164: str) -> str:
    """The number as it may be shown: country code and last two digits, `+44********01`."""
    code = calling_code(e164)
    hidden = len(e164) - len(code) - 2
    if not code or not e164.startswith("+") or hidden < 2:
        return "*" * len(e164)
    return f"{code}{'*' * hidden}{e164[-2:]}"


def _international(raw: str) -> str:
    """`raw` as a plus sign and ASCII digits."""
    if len(raw) > _MAX_LENGTH:
        raise _refused("is too long for a phone number")
    if any(unicodedata.category(char) == "Cc" for char in raw):
        raise _refused("has a control character")
    text = "".join(char for char in raw if not _separates(char))
    if text[:4].lower() == "tel:":
        text = text[4:]
    if not text or text[0] not in _PLUS:
        raise _refused("must start with + and the country code (a form needs the + encoded)")
    digits = [unicodedata.decimal(char, None) for char in text.lstrip(_PLUS)]
    if None in digits:
        raise _refused("may hold digits and separators only: no letters, no extension")
    return "+" + "".join(map(str, digits))


def _separates(char: str) -> bool:
    return char in _SEPARATORS or unicodedata.category(char) in _SEPARATOR_CATEGORIES


def _number(text: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return None


def _canonical(number: PhoneNumber | None) -> PhoneNumber | None:
    """Argentina's mobiles have two valid spellings, with and without a 9 after the code.

    They share one plan of ten-digit numbers with landlines, so the longer spelling is the key.
    """
    if number is None or number.country_code != _ARGENTINA:
        return number
    national = phonenumbers.national_significant_number(number)
    longer = _number(f"+{_ARGENTINA}9{national}")
    if longer is not None and phonenumbers.number_type(longer) == PhoneNumberType.MOBILE:
        return longer
    return number


def _refused(reason: str) -> InvalidParameterError:
    return InvalidParameterError("To", reason)
