"""The numbers as Markdown, and into README.md between its markers."""

import datetime
import platform
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import psycopg

from benchmarks.checking import FLOOR, RIGHT, START, TRIPS, Rate
from benchmarks.counting import Count
from benchmarks.machine import cores, cpu_model
from benchmarks.rig import Rig, plain
from benchmarks.rival import SEND as THEIR_SEND
from benchmarks.rival import VERIFY
from benchmarks.sending import Sent

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- numbers: begin -->", "<!-- numbers: end -->"
AIM_RATE, AIM_CPU, AIM_P99, AIM_RIVAL, AIM_FLOOR = 10, 0.8, 300, 3, 0.6
SERVERS = ("api", "database", "broker")
QUEUE, SEND = ("producer", "database", "broker"), ("worker", "relay", "database", "broker")


def machine(rig: Rig) -> str:
    with psycopg.connect(plain(rig.postgres.url())) as connection:
        version = connection.info.server_version // 10_000, connection.info.server_version % 10_000
    info = rig.redis.info("server")
    broker = info.get("valkey_version") or info["redis_version"]  # type: ignore[union-attr]
    kind = "Valkey" if "valkey_version" in info else "Redis"  # type: ignore[operator]
    return (
        f"{datetime.date.today()}, {cpu_model()}, {cores()} cores, {platform.system()},"
        f" Python {platform.python_version()}, PostgreSQL {version[0]}.{version[1]},"
        f" {kind} {broker}"
    )


def sending(sent: Sequence[Sent], fastest: float) -> str:
    rates = _table(
        "worker | provider | codes/s | codes measured | broker commands per code | speed"
        " | half load | codes | p50 | p95 | p99",
        (
            (
                s.contender,
                f"{s.latency} ms",
                f"{s.rate:.0f}",
                s.measured,
                f"{s.commands:.1f}",
                f"{s.speed / fastest:.2f}",
                f"{s.half_rate:.0f}/s",
                s.half_count,
                *(f"{ms:.0f} ms" for ms in (s.p50, s.p95, s.p99)),
            )
            for s in sent
        ),
    )
    cpu = _table(
        "worker | provider | **worker** | relay | database | broker | to queue: producer"
        " | database | broker | all | (provider) | (others)",
        (
            (
                s.contender,
                f"{s.latency} ms",
                f"**{s.worker:.2f}**",
                *(f"{s.send.get(name, 0):.2f}" for name in SEND[1:]),
                *(f"{s.queue[name]:.2f}" for name in QUEUE),
                f"{s.total:.2f}",
                f"{s.send['provider']:.2f}",
                f"{s.others:.2f}",
            )
            for s in sent
        ),
    )
    return f"### Sending\n\n{rates}\n\nCPU ms per code, by process:\n\n{cpu}"


def aims(sent: Sequence[Sent]) -> str:
    found = {(s.contender, s.latency): s for s in sent}
    lines = []
    for latency in sorted({s.latency for s in sent}):
        ours, theirs = found.get(("ours", latency)), found.get(("tutorial", latency))
        if ours is None or theirs is None:
            continue
        rate = ours.rate / theirs.rate
        cpu = ours.worker / theirs.worker
        even = cpu * ours.speed / theirs.speed
        whole = ours.total / theirs.total
        if latency != 100:
            lines.append(
                f"- at {latency} ms (no aim): {rate:.2f}× the throughput, {cpu:.2f}× the worker's"
                f" CPU per code ({even:.2f}× at even speed), p99 {ours.p99:.0f} ms"
            )
            continue
        lines += [
            f"- throughput, ours to tutorial: {rate:.1f}×; aim {AIM_RATE}× or more:"
            f" {_met(rate >= AIM_RATE)}",
            f"- worker CPU per code, ours to tutorial: {cpu:.2f}× ({even:.2f}× at even machine"
            f" speed); aim {AIM_CPU}× or less: {_met(cpu <= AIM_CPU)}; with producer, relay,"
            f" database and broker: {whole:.2f}×",
            f"- p99 from accept to provider at half load: {ours.p99:.0f} ms; aim under"
            f" {AIM_P99} ms: {_met(ours.p99 < AIM_P99)}",
        ]
    return "### Aims, at 100 ms\n\n" + "\n".join(lines)


def _met(met: bool) -> str:
    return "**met**" if met else "**not met**"


def checking(rates: Sequence[Rate], fastest: float) -> str:
    table = _table(
        "what | per second | measured | CPU ms each: caller | api | database | broker"
        " | p50 | p99 | speed",
        (
            (
                r.name,
                f"{r.rate:.0f}",
                r.measured,
                *(
                    f"{r.cpu[name]:.2f}" if name in r.cpu else ""
                    for name in ("caller", "api", "database", "broker")
                ),
                *("" if ms is None else f"{ms:.0f} ms" for ms in (r.p50, r.p99)),
                f"{r.speed / fastest:.2f}",
            )
            for r in rates
        ),
    )
    return f"### Checks and starts\n\n{table}"


def rivalry(rates: Sequence[Rate]) -> str:
    """Ours to better-auth's, where both were measured."""
    lines = []
    for what, ours, theirs, rate, even in _beside(
        rates,
        ("checks, ours to better-auth's verifies", RIGHT, VERIFY),
        ("starts, ours to better-auth's sends", START, THEIR_SEND),
    ):
        cpu, whole = (_cost(ours, names) / _cost(theirs, names) for names in (("api",), SERVERS))
        lines.append(
            f"- {what} per second: {rate:.2f}× ({even:.2f}× at even machine speed); aim"
            f" {AIM_RIVAL}× or more: {_met(rate >= AIM_RIVAL)}; CPU of the api process:"
            f" {cpu:.2f}×, with database and broker: {whole:.2f}×"
        )
    return "### Aims, beside better-auth\n\n" + "\n".join(lines) if lines else ""


def floors(rates: Sequence[Rate]) -> str:
    """A check beside what the same server does without us."""
    lines = []
    for what, ours, floor, rate, even in _beside(
        rates,
        ("of one UPDATE", RIGHT, FLOOR),
        ("of a check's three round trips", RIGHT, TRIPS),
    ):
        aimed = f"aim {AIM_FLOOR:.0%} or more: {_met(rate >= AIM_FLOOR)}"
        if floor.name != FLOOR:
            aimed = "no aim"
        lines.append(
            f"- checks per second, of the floor {what}: {rate:.0%} ({even:.0%} at even machine"
            f" speed); {aimed}; CPU of the api process: {_cost(ours, ('api',)):.2f} ms beside"
            f" {_cost(floor, ('api',)):.2f} ms"
        )
    return "### Aim, above the floor\n\n" + "\n".join(lines) if lines else ""


def _beside(
    rates: Sequence[Rate], *pairs: tuple[str, str, str]
) -> Iterator[tuple[str, Rate, Rate, float, float]]:
    """Of each pair of which both were measured: what it says, ours, theirs, ours to theirs, and
    what that is at even machine speed.

    :param pairs: what each says, and the two names
    """
    found = {one.name: one for one in rates}
    for what, ours_name, their_name in pairs:
        ours, theirs = found.get(ours_name), found.get(their_name)
        if ours and theirs:
            rate = ours.rate / theirs.rate
            yield what, ours, theirs, rate, rate * theirs.speed / ours.speed


def _cost(rate: Rate, names: Iterable[str]) -> float:
    return sum(rate.cpu.get(name, 0) for name in names)


def counting(counts: Sequence[Count]) -> str:
    table = _table(
        "each | SQL statements | write commits | database round trips"
        " | broker round trips | WAL bytes | which",
        (
            (
                c.name,
                f"{c.statements:g}",
                f"{c.commits:g}",
                f"{c.database_trips:g}",
                f"{c.broker_trips:g}",
                f"{c.wal_bytes:.0f}",
                ", ".join(f"`{text}`" for text in c.texts),
            )
            for c in counts
        ),
    )
    return f"### What each use case asks of its servers\n\n{table}"


def faults(found: Iterable[str]) -> str:
    lines = [f"- {line}" for line in found]
    return (
        "Every code arrived once, every answer was as expected."
        if not lines
        else "\n".join(["**Not as expected:**", "", *lines])
    )


def write(text: str) -> None:
    """Put the numbers between the markers."""
    before, _, rest = README.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(f"{before}{BEGIN}\n{text.strip()}\n{END}{after}")


def _table(head: str, rows: Iterable[Sequence[object]]) -> str:
    names = head.split(" | ")
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)
