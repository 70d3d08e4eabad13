"""What countries are called, in English; the names are those of Unicode's CLDR."""

from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    lines = (Path(__file__).parent / "countries.txt").read_text("utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def name_of(code: str) -> str:
    """The name of an ISO 3166 code, or the code."""
    return _names().get(code, code)
