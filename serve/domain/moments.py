"""Moments as people and programs read them: RFC 3339 in UTC, to the millisecond."""

from datetime import UTC, datetime


def at(unix_ms: int) -> datetime:
    """Unix milliseconds as a moment."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


def rfc3339(moment: datetime) -> str:
    """`2026-01-31T12:00:00.000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
