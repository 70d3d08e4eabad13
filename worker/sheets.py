"""CSV as RFC 4180 has it, with cells that no spreadsheet takes for a formula. No I/O."""

import csv
import io
from collections.abc import Iterable

# What a spreadsheet takes for a formula, and the apostrophe that tells it not to.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def line(cells: Iterable[str]) -> str:
    """One line, each cell guarded."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(map(_guarded, cells))
    return out.getvalue()


def plain(cell: str) -> str:
    """What a cell was before `line` guarded it."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_FORMULA) else cell


def _guarded(text: str) -> str:
    return "'" + text if text.startswith(_FORMULA) else text
