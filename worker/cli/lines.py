"""How the standing of a part reads in one line."""

import time
from collections.abc import Sequence
from typing import Any

from worker.circuits import Circuit
from worker.most_refused import Shown
from worker.operations import Pause
from worker.presence import Worker
from worker.standing import QueueStanding, Silent, who_is_silent


def counts_of(queue: QueueStanding) -> tuple[str, str, str, str]:
    """What waits, is due later, in flight and held; `+` where there may be more."""
    more, flying = "+" if queue.at_least else "", "+" if queue.in_flight_at_least else ""
    return (
        *(f"{queue.waiting}{more}", f"{queue.later}{more}"),
        *(f"{queue.in_flight}{flying}", f"{queue.held}{more}"),
    )


def queue_line(queue: QueueStanding) -> str:
    waiting, later, in_flight, held = counts_of(queue)
    facts = [f"{waiting} waiting"]
    facts += [f"oldest {queue.oldest_age:.1f} s"] if queue.oldest_age is not None else []
    facts += [f"{later} due later"] if queue.later else []
    facts += [f"{in_flight} in flight"] if queue.in_flight else []
    facts += [f"{held} held"] if queue.held else []
    return f"{queue.name:<9} {', '.join(facts)}"


def circuit_line(circuit: Circuit) -> str:
    failures = f", {circuit.failures} failures" if circuit.failures else ""
    forced = " by hand" if circuit.forced else ""
    return f"circuit {circuit.sender}/{circuit.channel} {circuit.state}{forced}{failures}"


def worker_line(workers: Sequence[Worker], silent: float | None, beats: int) -> str:
    """
    :param silent: seconds since the last heartbeat that came through
    :param beats: messages that wait in the queue of heartbeats
    """
    busy, slots = sum(w.busy for w in workers), sum(w.slots for w in workers)
    heard = "not heard of in the last hour" if silent is None else f"last heard {silent:.1f} s ago"
    line = f"worker {heard}; {len(workers)} up, {busy} of {slots} slots busy"
    if who_is_silent(silent, workers, beats) is Silent.RELAY:
        line += "; the relay sends nothing: start it with `sendcode relay`"
    return line


def pause_line(pause: Pause) -> str:
    until = "" if pause.until is None else f", ends in {left(pause.until)}"
    return (
        f"PAUSED {pause.kind} {pause.name} since {ago(pause.since)}{until}"
        f", by {pause.paused_by}: {pause.reason}"
    )


def refused_line(kind: str, one: Shown) -> str:
    limits = ", ".join(f"{name} {count}" for name, count in one.limits.items())
    return f"{kind:<7} {one.what}  {one.count} refused: {limits}"


def left(until: int) -> str:
    """How long it is until `until` (ms since 1970 UTC), in the largest unit."""
    return _span(int(until / 1000 - time.time()))


def ago(at: int) -> str:
    """How long ago `at` (ms since 1970 UTC) was, in the largest unit: `4m ago`."""
    return f"{_span(int(time.time() - at / 1000))} ago"


def _span(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


def key_line(row: dict[str, Any], opens: str) -> str:
    """
    :param row: a key as `--json` shows it
    :param opens: what it is good for
    """
    used = f"last used {row['last_used_at'] or 'never'}"
    ended = f"  REVOKED {row['revoked_at']}" if row["revoked_at"] else ""
    return f"{row['sid']}  {opens}  {row['friendly_name']}  {used}{ended}"
