"""How numbers and times read on a page."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from markupsafe import Markup, escape

from worker.moments import stamp
from worker.money import MICROS, Money, shown

_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"))
_SID = re.compile(r"(AC|SK)[0-9a-f]{32}", re.ASCII)
DASH = "–"
IDLE = 30  # seconds


def ago(at: int | None) -> Markup:
    """A moment (ms since 1970 UTC) as how long ago it was; when exactly, on hover."""
    if at is None:
        return Markup(DASH)  # noqa: S704
    exact = datetime.fromtimestamp(at / 1000, UTC)
    seconds = time.time() - at / 1000
    text = f"in {_span(-seconds)}" if seconds < -1 else f"{_span(max(0.0, seconds))} ago"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        stamp(at), f"{exact:%Y-%m-%d %H:%M:%S}", escape(text)
    )


def who(name: str) -> Markup | str:
    """Who did something. A sid, by which callers of the API are known, is cut short, since it would
    fill a phone's width; whole on hover.
    """
    if not _SID.fullmatch(name):
        return name
    return Markup('<abbr title="{}">{}…</abbr>').format(name, name[:10])


def clock(at: int) -> Markup:
    """A moment (ms since 1970 UTC) that reads the same however often it is asked for: what says
    changes aloud repeats nothing.
    """
    exact = datetime.fromtimestamp(at / 1000, UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        f"{exact:%Y-%m-%dT%H:%M:%SZ}", f"{exact:%d %b %H:%M} UTC"
    )


def fact(value: object) -> str:
    """What an action changes, without the marks of a program."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(
            f"{name.replace('_', ' ')} {span(one) if name == 'within' else fact(one)}"
            for name, one in value.items()
        )
    return str(value)


def _span(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def span(seconds: float | None) -> str:
    """Seconds in the unit that reads best."""
    if seconds is None:
        return DASH
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def ms(value: float | None) -> str:
    """Milliseconds in the unit that reads best."""
    return DASH if value is None else span(value / 1000)


def percent(share: float | None) -> str:
    """A share of 0 to 1; what is neither all nor none never reads so."""
    if share is None:
        return DASH
    if 0.99 < share < 1 or 0 < share < 0.01:
        return (
            f"{share:.1%}" if 0.001 <= share <= 0.999 else ("> 99.9%" if share > 0.5 else "< 0.1%")
        )
    return f"{share:.0%}"


def count(value: int | None) -> str:
    """A whole number, in groups of three."""
    return DASH if value is None else f"{value:,}"


def money(value: Money) -> str:
    """An amount with its currency, to the cent, or to its last decimal where it is below one."""
    cents = (value.micros + 5_000) // 10_000
    if value.micros < MICROS:
        return f"{shown(value.micros)} {value.currency}"
    return f"{cents // 100:,}.{cents % 100:02} {value.currency}"


def marked(text: str) -> Markup:
    """A text in which what stands between backticks is code."""
    pieces = [escape(piece) for piece in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else piece
        for i, piece in enumerate(pieces)
    )


def points(values: tuple[int, ...], width: int = 96, height: int = 22) -> str:
    """The corners of a small line through the values, for an SVG's `points`."""
    most = max(values, default=0) or 1
    step = width / max(1, len(values) - 1)
    return " ".join(
        f"{i * step:.1f},{height - 1 - (height - 2) * value / most:.1f}"
        for i, value in enumerate(values)
    )


def told(asked: Mapping[str, str]) -> str:
    """Of which service and sender something is, behind what is said of it."""
    words = (("of the service", asked["service"]), ("by the sender", asked["sender"]))
    return "".join(f" {word} {name}" for word, name in words if name)


def idle(at: int) -> bool:
    """Whether a job that last went on at `at` (ms since 1970 UTC) seems to be left alone."""
    return time.time() - at / 1000 > IDLE
