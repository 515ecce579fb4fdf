"""Times as people write them on a command line."""

import re
from datetime import UTC, datetime, timedelta

from serve.cli.exits import CliError, ExitCode
from serve.cli.output import parse_time

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def span(text: str, option: str) -> timedelta:
    """A length of time: `90s`, `12h`, `7d`. Raises CliError (usage) about `option`."""
    match = _DURATION.fullmatch(text)
    try:
        if match:
            return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        pass
    raise CliError(f"{option} takes a time span as 90s, 12h or 7d: {text[:40]!r}", ExitCode.USAGE)


def ago(text: str, option: str) -> str:
    """An RFC 3339 time from `7d` (that long ago) or a time. Raises CliError (usage) about `option`."""
    try:
        moment = datetime.now(UTC) - span(text, option) if _DURATION.fullmatch(text) else parse_time(text)
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise CliError(
            f"{option} takes 24h, 7d, or a time as 2027-01-31T00:00:00Z: {text[:40]!r}", ExitCode.USAGE
        ) from error
