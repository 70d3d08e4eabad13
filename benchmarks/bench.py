"""Measure: `./dev bench`, or `python -m benchmarks.bench` from the project's root."""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import checking, counting, report, rival, sending
from benchmarks.rig import rig
from worker.embedded.processes import StartError

PARTS = ("send", "check", "rival", "count")
# Codes put into the queue for each second of measuring; more than the worker takes.
FILL = {("tutorial", 0): 550, ("tutorial", 100): 60, ("ours", 0): 450, ("ours", 100): 450}


def main() -> int:
    options = _options()
    os.chdir(Path(__file__).parent.parent)
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="sendcode-bench-") as folder:
            text = _measure(Path(folder), options)
    except StartError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    text += f"\n\nThe run took {time.monotonic() - begun:.0f} s."
    print(text)
    if options.write:
        report.write(text)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure ours and the tutorial's.")
    parser.add_argument("--quick", action="store_true", help="1.5 seconds each: a look")
    parser.add_argument(
        "--seconds", type=float, help="measured time of each, at most 20", default=8
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--write", action="store_true", help="write the tables into README.md")
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    options.seconds = 1.5 if options.quick else min(20.0, max(1.0, options.seconds))
    return options


def _measure(folder: Path, options: argparse.Namespace) -> str:
    seconds = options.seconds
    with rig(folder) as made:
        blocks, faults = [f"Measured {report.machine(made)}."], []
        sent, rates, absent = [], [], ""
        if "count" in options.only:
            _say("counting statements")
            counts = counting.measure(made)
        if "send" in options.only:
            for latency in (100, 0):
                for who in (sending.TUTORIAL, sending.OURS):
                    _say(f"sending: {who.name}, provider {latency} ms")
                    count = int(FILL[who.name, latency] * seconds)
                    # The tutorial waits for the provider: its few codes need more time.
                    longer = 2 if latency and who is sending.TUTORIAL else 1
                    sent.append(sending.measure(made, who, latency, count, seconds, longer))
        if "check" in options.only:
            _say("checks and starts")
            rates = checking.measure(made, int(250 * seconds), seconds)
        if "rival" in options.only:
            _say("better-auth")
            try:
                rates += rival.measure(made, int(250 * seconds), seconds)
            except rival.MissingError as error:
                absent = f"Without better-auth: {error}."
                _say(absent)
    fastest = max((one.speed for one in (*sent, *rates)), default=1)
    for one in (*sent, *rates):
        faults += one.faults
    if sent:
        blocks += [report.sending(sent, fastest), report.aims(sent)]
    if rates:
        blocks += filter(
            None,
            (report.checking(rates, fastest), report.floors(rates), report.rivalry(rates)),
        )
    if absent:
        blocks.append(absent)
    if "count" in options.only:
        blocks.append(report.counting(counts))
    return "\n\n".join([*blocks, report.faults(faults)])


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
