"""Server-sent events (WHATWG HTML, section 9.2), from bytes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: `id` as last set by the stream, its kind, its data."""

    id: str
    kind: str
    data: str


def split_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines ended by LF, CR LF or CR, however the bytes arrive; an unfinished last one is dropped.

    Not str.splitlines: it also breaks at U+2028, U+0085 and others, which JSON text may hold bare.
    """
    rest = b""
    for chunk in chunks:
        rest += chunk
        # A CR at the very end may be half of a CR LF: it waits for the next chunk.
        whole, held = (rest[:-1], b"\r") if rest.endswith(b"\r") else (rest, b"")
        *lines, last = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        rest = last + held
        for line in lines:
            yield line.decode("utf-8", "replace")


def parse_events(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """The events in `lines`. Comments (keep-alive) and events without data give nothing."""
    event_id, kind = "", ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(event_id, kind or "message", "\n".join(data))
            kind, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "id":
                event_id = value
            case "event":
                kind = value
            case "data":
                data.append(value)
