"""From generated text to tool calls, in whatever pieces the text arrives. Pure.

Three readers with one interface: `PlainText` (no tools), `HermesCalls` (free text with `<tool_call>{...}</tool_call>`,
as Hermes 2 Pro and Qwen write it) and `ForcedCalls` (the JSON that a grammar forces when a call is required). What
they return does not depend on where the text was cut, once deltas are put together.
"""

import json
from collections.abc import Callable, Sequence
from typing import Protocol

from serve.domain.generation import TextDelta, ToolCallDelta

OPEN_TAG = "<tool_call>"
CLOSE_TAG = "</tool_call>"

Delta = TextDelta | ToolCallDelta
NewId = Callable[[], str]


class AnswerReader(Protocol):
    """Reads one choice."""

    def feed(self, text: str, token_ids: Sequence[int]) -> list[Delta]:
        """What `text`, the next piece, adds."""
        ...

    def finish(self) -> list[Delta]:
        """What was held back."""
        ...

    @property
    def num_calls(self) -> int:
        """Tool calls so far."""
        ...


class PlainText:
    """Text is text."""

    num_calls = 0

    def __init__(self, index: int) -> None:
        self._index = index

    def feed(self, text: str, token_ids: Sequence[int]) -> list[Delta]:
        """`text`, unless it is empty."""
        return [TextDelta(text, self._index)] if text else []

    def finish(self) -> list[Delta]:
        """Nothing is ever held back."""
        return []


class CallScanner:
    """Reads `{"name": ..., "arguments": {...}}` character by character and hands out arguments as they come.

    `parameters` is taken for `arguments`. Arguments before the name, or written as a JSON string, are held until the
    object is whole. `broken` says that this is no call of a function on offer; the text is then the caller's.
    """

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._raw: list[str] = []
        self._depth = 0
        self._in_string = self._escaped = self._in_value = False
        self._token: list[str] = []
        self._key = ""
        self._held: list[str] = []
        self._streams = False
        self.name = ""
        self.broken = False
        self.done = False

    @property
    def raw(self) -> str:
        """All that was read."""
        return "".join(self._raw)

    def feed(self, char: str) -> str:
        """The arguments that may be handed out now."""
        self._raw.append(char)
        if not self._depth:
            self._begin(char)
            return ""
        if self._in_string:
            self._string(char)
            return self._take(char)
        return self._structure(char)

    def _begin(self, char: str) -> None:
        if char == "{":
            self._depth = 1
        elif not char.isspace():
            self.broken = True

    def _string(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == '"':
            self._in_string = False

    def _structure(self, char: str) -> str:
        if self._depth == 1 and char in ",}":
            return self._end_value(is_object_end=char == "}")
        if self._depth == 1 and char == ":" and not self._in_value:
            self._key, self._in_value = _loaded_string(self._token), True
            self._token.clear()
            return ""
        if char == '"':
            self._in_string = True
        elif char in "{[":
            self._depth += 1
        elif char in "}]":
            self._depth -= 1
            self.broken = self.broken or not self._depth
        return self._take(char)

    def _take(self, char: str) -> str:
        if not self._token and char.isspace():
            return ""
        starts_object = self._in_value and not self._token and char == "{"
        self._token.append(char)
        if not (self._in_value and self._key in ("arguments", "parameters") and self.name):
            return ""
        self._streams = self._streams or starts_object
        return char if self._streams else ""

    def _end_value(self, is_object_end: bool) -> str:
        text = ""
        if self._in_value and self._key == "name":
            self._set_name(_loaded_string(self._token))
        elif self._in_value and self._key in ("arguments", "parameters") and not self._streams:
            self._held = list(self._token)
        self._token.clear()
        self._in_value = self._streams = False
        if self._held and self.name:
            text, self._held = _arguments(self._held), []
        if is_object_end:
            self.done, self.broken = bool(self.name), not self.name
        return text

    def _set_name(self, name: str) -> None:
        self.name = name if name in self._names else ""
        self.broken = not self.name


def _loaded_string(token: list[str]) -> str:
    try:
        value = json.loads("".join(token))
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""


def _arguments(token: list[str]) -> str:
    """Arguments that were held: a JSON string holds the JSON text itself, and null stands for none."""
    text = "".join(token).strip()
    if text.startswith('"'):
        return _loaded_string(token).strip() or "{}"
    return "{}" if text == "null" else text


class _Calls:
    """The calls of one choice, numbered as they begin."""

    def __init__(self, index: int, names: frozenset[str], new_id: NewId, max_calls: int | None) -> None:
        self._index = index
        self._names = names
        self._new_id = new_id
        self._max_calls = max_calls
        self._scanner: CallScanner | None = None
        self._announced = False
        self._has_arguments = False
        self.num_calls = 0

    @property
    def reading(self) -> CallScanner | None:
        """The call that is being read."""
        return self._scanner

    @property
    def _full(self) -> bool:
        return self._max_calls is not None and self.num_calls >= self._max_calls

    def begin(self) -> None:
        """A call begins with the next character."""
        self._scanner, self._announced, self._has_arguments = CallScanner(self._names), False, False

    def feed(self, char: str) -> list[Delta]:
        """One character of the call that is being read."""
        scanner = self._scanner
        if scanner is None:
            return []
        arguments = scanner.feed(char)
        deltas: list[Delta] = []
        if scanner.name and not self._announced and not self._full:
            self._announced = True
            self.num_calls += 1
            deltas.append(ToolCallDelta(self.num_calls - 1, self._index, self._new_id(), scanner.name))
        if arguments and self._announced:
            self._has_arguments = True
            deltas.append(ToolCallDelta(self.num_calls - 1, self._index, arguments=arguments))
        return deltas

    def end(self) -> list[Delta]:
        """The call is over; one that came without arguments is given none."""
        bare = self._announced and not self._has_arguments
        self._scanner = None
        return [ToolCallDelta(self.num_calls - 1, self._index, arguments="{}")] if bare else []


class HermesCalls:
    """Free text with calls in `<tool_call>` tags. What is in the tags and is no call stays text."""

    def __init__(self, index: int, names: Sequence[str], new_id: NewId, max_calls: int | None = None) -> None:
        self._index = index
        self._calls = _Calls(index, frozenset(names), new_id, max_calls)
        self._read = self._read_text
        self._buffer = ""
        self._after_call = False
        """White space between a call and what follows it is no answer."""

    @property
    def num_calls(self) -> int:
        """Tool calls so far."""
        return self._calls.num_calls

    def feed(self, text: str, token_ids: Sequence[int]) -> list[Delta]:
        """What `text` adds: runs of text, and calls in parts."""
        self._buffer += text
        deltas: list[Delta] = []
        more = True
        while more:
            found, more = self._read()
            deltas += found
        return _joined(deltas)

    def finish(self) -> list[Delta]:
        """The held text; of a call that was cut short, what its name and arguments were so far."""
        held, self._buffer = self._buffer, ""
        scanner = self._calls.reading
        if scanner is not None:
            return self._calls.end() if scanner.name else self._text(OPEN_TAG + scanner.raw)
        return self._text(held) if held.strip() or not self._after_call else []

    def _read_text(self) -> tuple[list[Delta], bool]:
        """Text up to the next tag; white space before it and what may become one are held."""
        if self._after_call:
            self._buffer = self._buffer.lstrip()
        before, tag, after = self._buffer.partition(OPEN_TAG)
        if tag:
            self._buffer = after
            self._calls.begin()
            self._read = self._read_call
            return self._text(before.rstrip()), True
        num_ready = len(self._buffer) - _held_length(self._buffer)
        ready, self._buffer = self._buffer[:num_ready], self._buffer[num_ready:]
        return self._text(ready), False

    def _read_call(self) -> tuple[list[Delta], bool]:
        """The object between the tags, as far as it is there."""
        deltas: list[Delta] = []
        for position, char in enumerate(self._buffer, start=1):
            deltas += self._calls.feed(char)
            scanner = self._calls.reading
            if scanner is not None and (scanner.done or scanner.broken):
                self._buffer = self._buffer[position:]
                deltas += self._calls.end()
                self._read = self._read_tail if scanner.done else self._read_text
                return deltas + ([] if scanner.done else self._text(OPEN_TAG + scanner.raw)), True
        self._buffer = ""
        return deltas, False

    def _read_tail(self) -> tuple[list[Delta], bool]:
        """The closing tag; text goes on where it is missing."""
        self._buffer = self._buffer.lstrip()
        if CLOSE_TAG.startswith(self._buffer) and self._buffer != CLOSE_TAG:
            return [], False
        self._buffer = self._buffer.removeprefix(CLOSE_TAG)
        self._after_call = True
        self._read = self._read_text
        return [], True

    def _text(self, text: str) -> list[Delta]:
        if not text:
            return []
        self._after_call = False
        return [TextDelta(text, self._index)]


def _held_length(text: str) -> int:
    """How much of the end of `text` cannot be given out yet: white space, and what may become an opening tag."""
    for length in range(min(len(OPEN_TAG) - 1, len(text)), 0, -1):
        if OPEN_TAG.startswith(text[-length:]):
            head = text[:-length]
            return length + len(head) - len(head.rstrip())
    return len(text) - len(text.rstrip())


def _joined(deltas: list[Delta]) -> list[Delta]:
    """Neighbouring parts of one text or one call's arguments made one."""
    joined: list[Delta] = []
    for delta in deltas:
        last = joined[-1] if joined else None
        if isinstance(last, TextDelta) and isinstance(delta, TextDelta):
            joined[-1] = TextDelta(last.text + delta.text, last.index)
        elif isinstance(last, ToolCallDelta) and isinstance(delta, ToolCallDelta) and _continues(last, delta):
            arguments = last.arguments + delta.arguments
            joined[-1] = ToolCallDelta(last.call_index, last.index, last.id, last.name, arguments)
        else:
            joined.append(delta)
    return joined


def _continues(last: ToolCallDelta, delta: ToolCallDelta) -> bool:
    return last.call_index == delta.call_index and not delta.name


class ForcedCalls:
    """The grammar's own JSON: an array of calls, or the arguments of the one function that was named."""

    def __init__(self, index: int, names: Sequence[str], new_id: NewId, named: str | None = None) -> None:
        self._index = index
        self._named = named
        self._new_id = new_id
        self._calls = _Calls(index, frozenset(names), new_id, None)
        self._named_begun = False

    @property
    def num_calls(self) -> int:
        """Tool calls so far."""
        return int(self._named_begun) or self._calls.num_calls

    def feed(self, text: str, token_ids: Sequence[int]) -> list[Delta]:
        """Parts of calls; there is no text."""
        if not text:
            return []
        if self._named is not None:
            return [self._named_part(self._named, text)]
        return _joined([delta for char in text for delta in self._array_part(char)])

    def finish(self) -> list[Delta]:
        """Nothing is held back."""
        return []

    def _named_part(self, name: str, text: str) -> ToolCallDelta:
        if self._named_begun:
            return ToolCallDelta(0, self._index, arguments=text)
        self._named_begun = True
        return ToolCallDelta(0, self._index, self._new_id(), name, text)

    def _array_part(self, char: str) -> list[Delta]:
        if self._calls.reading is None and char == "{":
            self._calls.begin()
        deltas = self._calls.feed(char)
        scanner = self._calls.reading
        if scanner is not None and scanner.done:
            deltas += self._calls.end()
        return deltas
