"""Moments as people and programs read them. No I/O."""

from datetime import UTC, datetime


def stamp(ms: int) -> str:
    """ISO 8601 in UTC, such as `2026-01-31T12:00:00.000Z`.

    :param ms: since 1970 UTC
    """
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
