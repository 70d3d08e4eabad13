"""Which prefixes codes are asked for and not used."""

from dataclasses import asdict

import click

from worker.cli.base import json_option, main, output, parts, with_times
from worker.cli.filters import Span
from worker.cli.lines import ago
from worker.prefixes import Found, Prefix


@main.command()
@click.option("--country", default="", help="ISO code, such as GB.")
@click.option(
    "--since", type=Span(), default="1h", show_default=True, help="How far back, such as 15m."
)
@json_option
def prefixes(country: str, since: int) -> None:
    """Show where codes go that do not come back, by how their numbers begin: the most suspicious
    first, as `sendcode block` takes them."""
    found = parts().prefixes.look(since, country)
    lines = [_line(one) for one in found.prefixes] + _rest(found)
    output(shown(found), "\n".join(lines) or "no codes")


def shown(found: Found) -> dict[str, object]:
    rows = [with_times(asdict(one)) | {"conversion": one.conversion} for one in found.prefixes]
    return asdict(found) | {"prefixes": rows}


def _line(one: Prefix) -> str:
    back = "undecided" if one.conversion is None else f"{one.conversion:.0%} come back"
    arrive = "" if one.arrival is None else f", {one.arrival:.0%} arrive"
    blocked = "  BLOCKED" if one.blocked else ""
    return (
        f"{one.prefix:<8} {one.country}  {back}{arrive}, {one.codes} codes to {one.numbers} numbers"
        f", first {ago(one.first_at)}, last {ago(one.last_at)}{blocked}"
    )


def _rest(found: Found) -> list[str]:
    lines = (
        [f"not shown, as too few numbers begin like theirs: {found.few} codes"] if found.few else []
    )
    lines += (
        [f"left out, as the key of their number is missing: {found.sealed} codes"]
        if found.sealed
        else []
    )
    return lines + (
        [f"only the newest {found.codes} codes were looked at"] if found.at_least else []
    )
