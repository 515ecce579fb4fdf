"""The records of a journal, and how each lies on a line of its own: `<line> <crc32> <json>`.

    ["O", call, started_ms, subject]             a call begins, or is carried to a new segment
    ["P", call, [quantities], duration_ms]       a checkpoint
    ["C", call, seq, status, billable, reason, [quantities], [cumulative], duration_ms]

`call` numbers the calls of a journal from 1, `line` its records. The checksum covers the JSON and begins with the
line's number, so that a record that was moved is as bad as one that was changed. Quantities are in the order of UNITS.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import orjson

from serve.domain.usage import Quantities, UsageStatus, UsageSubject
from serve.metering.journal.wire import subject_from_plain, subject_to_plain

MAX_CLOSE_BYTES = 768
"""Of a closing record: 22 numbers of 19 digits, a reason of MAX_REASON_LENGTH, and the rest."""
MAX_REASON_LENGTH = 40
_MOST = 2**62


@dataclass(frozen=True, slots=True)
class Opened:
    """A call begins, or is repeated here so that the segment where it began can be deleted."""

    line: int
    call: int
    started_ms: int
    subject: UsageSubject


@dataclass(frozen=True, slots=True)
class Progressed:
    """What a call had consumed at a checkpoint."""

    line: int
    call: int
    quantities: Quantities
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A call ended as event `seq`; `cumulative` is the sum over events 1 to `seq`."""

    line: int
    call: int
    seq: int
    status: UsageStatus
    billable: bool
    reason: str | None
    quantities: Quantities
    cumulative: Quantities
    duration_ms: int


Record = Opened | Progressed | Closed


def subject_bytes(subject: UsageSubject) -> bytes:
    """The part of an opening record that can be made before its place is known."""
    return orjson.dumps(subject_to_plain(subject))


def opened(call: int, started_ms: int, subject: bytes) -> bytes:
    """The JSON of an opening record."""
    return b'["O",%d,%d,%b]' % (call, started_ms, subject)


def progressed(call: int, values: Sequence[int], duration_ms: int) -> bytes:
    """The JSON of a checkpoint."""
    return orjson.dumps(("P", call, values, duration_ms))


def closed(
    call: int,
    seq: int,
    judged: tuple[str, bool, str | None],
    values: Sequence[int],
    cumulative: Sequence[int],
    duration_ms: int,
) -> bytes:
    """The JSON of a closing record, at most MAX_CLOSE_BYTES with its line's number and checksum."""
    status, billable, reason = judged
    if reason is not None:
        reason = reason[:MAX_REASON_LENGTH]
    return orjson.dumps(("C", call, seq, status, billable, reason, values, cumulative, duration_ms))


def counted(values: Sequence[int]) -> tuple[int, ...]:
    """`values` as plain integers that a journal takes: an engine's own kinds of numbers are turned into ours."""
    return tuple([min(max(int(value), 0), _MOST) for value in values])


def line_of(line: int, body: bytes) -> bytes:
    """A record as it is appended."""
    return b"%d %08x %b\n" % (line, crc32(body, line), body)


def parsed(text: bytes) -> Record | None:
    """The record on a line without its newline; None if the line is damaged, or of a kind we do not know."""
    try:
        number, checksum, body = text.split(b" ", 2)
        line = int(number)
        if crc32(body, line) != int(checksum, 16):
            return None
        return _record(line, orjson.loads(body))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _record(line: int, found: list[object]) -> Record | None:
    match found:
        case ["O", int(call), int(started_ms), dict(subject)]:
            return Opened(line, call, started_ms, subject_from_plain(subject))
        case ["P", int(call), list(values), int(duration_ms)]:
            return Progressed(line, call, Quantities(*values), duration_ms)
        case ["C", int(call), int(seq), str(status), bool(billable), reason, list(values), list(sums), int(ms)]:
            said = None if reason is None else str(reason)
            return Closed(
                line, call, seq, UsageStatus(status), billable, said, Quantities(*values), Quantities(*sums), ms
            )
        case _:
            return None
