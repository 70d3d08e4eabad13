#!/usr/bin/env python3
"""Write the settings table of README.md anew from the code: `python docs/generate_settings.py`.

With `--check` nothing is written; the exit status is 1 when the table is not what the code says.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from worker.settings import PREFIX, Settings

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
BOUNDS = {"ge": "from {}", "gt": "over {}", "le": "up to {}"}


def table() -> str:
    """A Markdown table of every setting: variable, default, meaning with its bounds."""
    rows = [
        f"| `{PREFIX}{name.upper()}` | {default(field)} | {meaning(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| Variable | Default | Meaning |", "|---|---|---|", *rows])


def default(field: FieldInfo) -> str:
    """The default as code, nothing where it is empty."""
    value = field.default
    text = str(value.get_secret_value() if isinstance(value, SecretStr) else value)
    return f"`{text.lower() if isinstance(value, bool) else text}`" if text else ""


def meaning(field: FieldInfo) -> str:
    """The description, followed by the least and the greatest value where there are any."""
    bounds = [
        BOUNDS[kind].format(f"{getattr(one, kind):g}")
        for one in field.metadata
        for kind in BOUNDS
        if hasattr(one, kind)
    ]
    text = (field.description or "").replace("|", "\\|")
    return f"{text} ({', '.join(bounds)})" if bounds else text


def renewed(text: str) -> str:
    """`text` with the table between the markers.

    :raises ValueError: a marker is missing
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    text = README.read_text()
    wanted = renewed(text)
    if "--check" in arguments:
        if text != wanted:
            sys.stderr.write(f"{README.name}: run `python docs/generate_settings.py`\n")
        return int(text != wanted)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
