"""The gettext catalogues, and which of them a text is taken from."""

import gettext
import re
from functools import cache
from pathlib import Path

from worker.errors import InvalidParameterError

_FOLDER = Path(__file__).parent / "locales"

# Locale → the language Twilio's <Say> speaks it in.
SPOKEN: dict[str, str] = {
    "en": "en-US",
    "en-GB": "en-GB",
    "es": "es-ES",
    "fr": "fr-FR",
    "de": "de-DE",
    "it": "it-IT",
    "pt": "pt-PT",
    "pt-BR": "pt-BR",
    "nl": "nl-NL",
    "pl": "pl-PL",
    "tr": "tr-TR",
    "ar": "arb",
    "hi": "hi-IN",
    "ja": "ja-JP",
    "sv": "sv-SE",
    "da": "da-DK",
    "nb": "nb-NO",
    "fi": "fi-FI",
    "cs": "cs-CZ",
    "ro": "ro-RO",
    "ru": "ru-RU",
    "zh": "cmn-CN",
}
LOCALES: tuple[str, ...] = tuple(SPOKEN)

_COUNTRIES: dict[str, str] = {
    "en-GB": "GB IE",
    "es": "ES MX AR CO CL PE VE EC GT CU BO DO HN PY SV NI CR PA UY PR GQ",
    "fr": "FR MC SN CI ML BF NE TG BJ GA CG CD MG HT RE GP MQ GF LU",
    "de": "DE AT LI CH",
    "it": "IT SM VA",
    "pt": "PT AO MZ CV GW ST TL",
    "pt-BR": "BR",
    "nl": "NL BE SR",
    "pl": "PL",
    "tr": "TR",
    "ar": "SA AE EG IQ JO KW LB LY MA OM QA SY TN YE BH DZ SD PS MR",
    "hi": "IN",
    "ja": "JP",
    "sv": "SE AX",
    "da": "DK GL FO",
    "nb": "NO SJ",
    "fi": "FI",
    "cs": "CZ",
    "ro": "RO MD",
    "ru": "RU BY KZ KG",
    "zh": "CN",
}
_BY_COUNTRY = {
    country: locale for locale, countries in _COUNTRIES.items() for country in countries.split()
}
_TAG = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,2}", re.ASCII)
_BY_NAME = {locale.lower(): locale for locale in LOCALES}


def resolve_locale(requested: str | None, country: str | None) -> str:
    """The request's locale, else the country's, else English.

    :param requested: BCP 47, any case; a region we have no text for falls back to its language
    :param country: ISO 3166 alpha-2
    :raises InvalidParameterError: a locale was requested and there is no text for it
    """
    if requested is None:
        return _BY_COUNTRY.get((country or "").upper(), "en")
    name = requested.replace("_", "-").lower()
    found = _BY_NAME.get(name) or _BY_NAME.get(name.partition("-")[0])
    if found is None or not _TAG.fullmatch(name):
        raise InvalidParameterError("Locale", f"is not one of {', '.join(LOCALES)}")
    return found


@cache
def _catalogue(locale: str) -> gettext.NullTranslations:
    names = [locale, locale.partition("-")[0]]
    if locale.startswith("en"):
        return gettext.NullTranslations()
    return gettext.translation("sendcode", _FOLDER, names)


def text(locale: str, english: str) -> str:
    """`english` in the locale's language."""
    return _catalogue(locale).gettext(english)


def fill(pattern: str, **values: str) -> str:
    """Put values in the places of a pattern, once: braces in a value stay what they are."""
    parts = pattern.split("{")
    filled = [parts[0]]
    for part in parts[1:]:
        name, _, rest = part.partition("}")
        filled.append(values[name] + rest)
    return "".join(filled)
