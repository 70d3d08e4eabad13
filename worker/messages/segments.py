"""How a text travels: GSM 03.38 or UCS-2, and in how many parts."""

from dataclasses import dataclass

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("^{}\\[]~|€\f")  # two septets each, which no part boundary may split


@dataclass(frozen=True, slots=True)
class Segments:
    """
    :param units: septets (GSM-7) or 16-bit units (UCS-2)
    :param parts: messages it takes
    :param offending: the characters that are not in GSM-7, in order, each once
    """

    encoding: str
    units: int
    parts: int
    offending: tuple[str, ...]


def segments(text: str) -> Segments:
    """Count as the network does: 160 septets in one part, else 153; 70 units, else 67."""
    offending = tuple(dict.fromkeys(c for c in text if c not in _BASIC and c not in _EXTENDED))
    if offending:
        sizes = [2 if ord(char) > 0xFFFF else 1 for char in text]
        return Segments("UCS-2", sum(sizes), _parts(sizes, 70, 67), offending)
    sizes = [2 if char in _EXTENDED else 1 for char in text]
    return Segments("GSM-7", sum(sizes), _parts(sizes, 160, 153), ())


def _parts(sizes: list[int], alone: int, each: int) -> int:
    if sum(sizes) <= alone:
        return 1
    parts, used = 1, 0
    for size in sizes:
        if used + size > each:
            parts, used = parts + 1, 0
        used += size
    return parts
