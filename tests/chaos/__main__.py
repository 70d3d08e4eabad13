"""`./dev chaos [--seed N] [--only NAME ...] [--short] [--starts N]`"""

import argparse
import sys
import time
from collections.abc import Sequence

from tests.chaos import (
    broker,
    cases,
    clocks,
    database,
    kills,
    lags,
    model,
    points,
    provider,
    receipts,
    sentinel,
    steady,
    together,
)
from tests.chaos.report import Outcome, table
from tests.chaos.rig import rig
from tests.chaos.rows import ALL, Size

ROOMS = (
    broker,
    cases,
    clocks,
    database,
    kills,
    lags,
    model,
    points,
    provider,
    receipts,
    sentinel,
    steady,
    together,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows; 1 when anything is violated."""
    options = _options(argv)
    seed = time.time_ns() % 1_000_000 if options.seed is None else options.seed
    size = Size(options.short, options.starts)
    form = "short" if options.short else "long"
    names = options.only or [name for name, row in ALL.items() if form in row.forms]
    _say(f"chaos: seed {seed}; the same schedule again: ./dev chaos --seed {seed}")
    with rig(seed) as made:
        outcomes = [_run(name, made, size) for name in names]
    sys.stdout.write(table(outcomes, seed))
    return int(any(one.violations for one in outcomes))


def _run(name: str, made: object, size: Size) -> Outcome:
    outcome = ALL[name].outcome(made, size)  # type: ignore[arg-type]
    counts = f"{outcome.starts} starts, {outcome.injected} faults, {outcome.lost} lost"
    counts += f", {outcome.doubled} doubled, {outcome.late} late"
    about = f"{outcome.verdict}, {outcome.seconds:.0f} s, {counts} {outcome.note}"
    _say(f"chaos: {name}: {about}".rstrip())
    for violation in outcome.violations or ():
        _say(f"  {violation}")
    return outcome


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the schedule; default by the clock")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(ALL), help=", ".join(ALL))
    parser.add_argument("--short", action="store_true", help="as in ./dev test")
    parser.add_argument("--starts", type=int, default=5000, help="of kill-9; default %(default)s")
    return parser.parse_args(argv)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
