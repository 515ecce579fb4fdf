"""Which JSON Schemas are taken, and proof that they compile before a request is admitted.

A grammar is compiled inside the engine's core, which all tenants share. So a schema is first bounded here by what
makes compilation slow (measured on xgrammar 0.2: counted repetition in a pattern, length bounds, the number of
properties and the length of enumerated texts cost up to the square of the count), then compiled once beside the event
loop, under a timeout. xgrammar turns patterns into automata and never backtracks; what is exponential elsewhere is
linear there.
"""

import asyncio
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from deployments.engines.chat_format import offered_tools
from serve.domain.chat import MAX_SCHEMA_BYTES, ChatInput, JsonObjectFormat, JsonSchemaFormat, NamedToolChoice, Tool
from serve.domain.errors import InvalidRequest, Overloaded

MAX_NESTING = 32
MAX_PROPERTIES = 500
MAX_PATTERN_LENGTH = 512
MAX_PATTERN_REPEATS = 1000
MAX_LENGTH_BOUNDS = 100_000
MAX_TEXT_LENGTH = 500
"""Characters of one text in an enum or a const: six of 10,000 that begin alike take twenty seconds to compile."""
MAX_FORCED_CALLS = 8
"""Calls in one answer when calling is required: small models go on until something stops them."""

COMPILE_SECONDS = 2.0
WAIT_SECONDS = 10.0
NUM_COMPILERS = 2
NUM_REMEMBERED = 4096
RESPONSE_SCHEMA = "response_format.json_schema.schema"

_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")
_LITERAL = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_LOOKAROUND = re.compile(r"\(\?<?[=!]")
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_DATA = frozenset({"enum", "const", "default", "examples", "required", "description", "title"})
_UNENFORCED = frozenset({"not", "if", "then", "else", "dependentSchemas", "dependentRequired", "dependencies"})
"""Keywords that the compiler passes over in silence: the answer would satisfy another schema than was asked for."""
_SOMETIMES_UNENFORCED = frozenset(
    {
        *("multipleOf", "uniqueItems", "contains", "minContains", "maxContains", "format", "pattern"),
        *("propertyNames", "patternProperties", "unevaluatedProperties", "allOf"),
    }
)
_LENGTHS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A JSON Schema that the answer must satisfy, and the path of the field it came from."""

    schema: str
    param: str


def constraint(chat: ChatInput) -> Constraint | None:
    """What restricts the answer: a tool call that is required, or else the response format.

    Raises:
        InvalidRequest: the schema is over a limit.
    """
    tools = offered_tools(chat)
    if isinstance(chat.tool_choice, NamedToolChoice):
        return _checked(_parameters(tools[0]), "tools")
    if chat.tool_choice == "required":
        return _checked(forced_calls_schema(tools, 1 if not chat.parallel_tool_calls else MAX_FORCED_CALLS), "tools")
    if isinstance(chat.response_format, JsonObjectFormat):
        return Constraint('{"type":"object"}', "response_format")
    if isinstance(chat.response_format, JsonSchemaFormat):
        return _checked(chat.response_format.json_schema.schema_, RESPONSE_SCHEMA)
    return None


def forced_calls_schema(tools: Sequence[Tool], max_calls: int) -> dict[str, Any]:
    """An array of calls. Each tool's parameters move to `$defs`, and their references with them."""
    definitions = {f"tool{i}": _moved(_parameters(tool), f"#/$defs/tool{i}") for i, tool in enumerate(tools)}
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": tool.function.name},
                "arguments": {"$ref": f"#/$defs/tool{i}"},
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for i, tool in enumerate(tools)
    ]
    items = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {"type": "array", "items": items, "minItems": 1, "maxItems": max_calls, "$defs": definitions}


def check_schema(schema: dict[str, Any], param: str) -> str:
    """The schema as compact JSON.

    Raises:
        InvalidRequest: `invalid_schema`, saying which limit it is over.
    """
    if _nests_deeper(schema, MAX_NESTING):
        raise _refused(f"it nests deeper than {MAX_NESTING} levels", param)
    text = json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) > MAX_SCHEMA_BYTES:
        raise _refused(f"it has {len(text.encode())} bytes, and {MAX_SCHEMA_BYTES} are allowed", param)
    num_properties = length_bounds = 0
    for node in _subschemas(schema):
        properties = node.get("properties")
        num_properties += len(properties) if isinstance(properties, dict) else 0
        length_bounds += sum(node[key] for key in _LENGTHS if type(node.get(key)) is int and node[key] > 0)
        _check_node(node, param)
    if num_properties > MAX_PROPERTIES:
        raise _refused(f"it has {num_properties} properties, and {MAX_PROPERTIES} are allowed", param)
    if length_bounds > MAX_LENGTH_BOUNDS:
        raise _refused(f"its bounds of length add up to more than {MAX_LENGTH_BOUNDS}", param)
    return text


class SchemaGate:
    """Lets through the schemas that compile. Remembers the last few thousand, by digest alone."""

    def __init__(self, compile_schema: Callable[[str], None]) -> None:
        """`compile_schema` runs in a thread, and raises if the schema is not supported."""
        self._compile = compile_schema
        self._threads = ThreadPoolExecutor(NUM_COMPILERS, thread_name_prefix="schema")
        self._free = asyncio.Semaphore(NUM_COMPILERS)
        self._passed: OrderedDict[bytes, None] = OrderedDict()

    async def admit(self, wanted: Constraint) -> None:
        """Return once `wanted` is known to compile.

        Raises:
            InvalidRequest: it does not, or not in time.
            Overloaded: too many new schemas at once.
        """
        digest = hashlib.sha256(wanted.schema.encode()).digest()
        if digest in self._passed:
            self._passed.move_to_end(digest)
            return
        await self._compiled(wanted)
        self._passed[digest] = None
        if len(self._passed) > NUM_REMEMBERED:
            self._passed.popitem(last=False)

    def close(self) -> None:
        """Take no more; a compilation that runs is left to end by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _compiled(self, wanted: Constraint) -> None:
        try:
            await asyncio.wait_for(self._free.acquire(), WAIT_SECONDS)
        except TimeoutError:
            raise Overloaded("Too many new JSON Schemas at once. Try again.", "", None, 1.0) from None
        running = asyncio.get_running_loop().run_in_executor(self._threads, self._compile, wanted.schema)
        # The slot is held until the thread is done, not until we stop waiting for it.
        running.add_done_callback(self._release)
        try:
            await asyncio.wait_for(asyncio.shield(running), COMPILE_SECONDS)
        except TimeoutError:
            raise _refused("compiling it takes too long; make it smaller", wanted.param) from None
        except Exception as error:
            raise _refused(_reason(error), wanted.param) from error

    def _release(self, running: "asyncio.Future[None]") -> None:
        self._free.release()
        if not running.cancelled():
            running.exception()


def unenforced_words(schema: dict[str, Any]) -> list[str]:
    """The keywords in `schema` that the compiler cannot enforce everywhere; one of them is at fault if it refuses."""
    found = {word for node in _subschemas(schema) for word in _SOMETIMES_UNENFORCED & node.keys()}
    return sorted(found)


def _checked(schema: dict[str, Any], param: str) -> Constraint:
    return Constraint(check_schema(schema, param), param)


def _parameters(tool: Tool) -> dict[str, Any]:
    return tool.function.parameters or {"type": "object", "properties": {}}


def _moved(schema: Any, base: str) -> Any:
    """The schema with its local references made relative to `base`."""
    if isinstance(schema, list):
        return [_moved(item, base) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: base + value[1:]
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, base)
        for key, value in schema.items()
    }


def _nests_deeper(value: Any, limit: int) -> bool:
    """Without recursion: the depth is the caller's choice."""
    level = [value]
    for _ in range(limit):
        children = [child for node in level for child in (node.values() if isinstance(node, dict) else node)]
        level = [child for child in children if isinstance(child, dict | list)]
        if not level:
            return False
    return True


def _subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and every schema in it; what a property is called, or an enum holds, is no keyword."""
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        if not isinstance(node, dict):
            continue
        yield node
        for key, value in node.items():
            if key in _NAMED_SCHEMAS and isinstance(value, dict):
                waiting += value.values()
            elif key not in _DATA:
                waiting.append(value)


def _check_node(node: dict[str, Any], param: str) -> None:
    ignored = sorted(_UNENFORCED & node.keys())
    if ignored:
        raise _refused(f"{ignored[0]!r} is not supported", param)
    reference = node.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#"):
        raise _refused("a $ref leads out of it; only references that begin with # are followed", param)
    values = node["enum"] if isinstance(node.get("enum"), list) else []
    if any(isinstance(value, str) and len(value) > MAX_TEXT_LENGTH for value in (*values, node.get("const"))):
        raise _refused(f"a text of an enum or a const is longer than {MAX_TEXT_LENGTH} characters", param)
    pattern = node.get("pattern")
    if isinstance(pattern, str):
        _check_pattern(pattern, param)
    for pattern in node["patternProperties"] if isinstance(node.get("patternProperties"), dict) else ():
        _check_pattern(pattern, param)


def _check_pattern(pattern: str, param: str) -> None:
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise _refused(f"a pattern is longer than {MAX_PATTERN_LENGTH} characters", param)
    if _LOOKAROUND.search(_LITERAL.sub("", pattern)):
        raise _refused("a pattern looks ahead or behind, which cannot be enforced", param)
    repeats = [int(number) for found in _REPEAT.finditer(pattern) for number in found.groups() if number]
    if sum(repeats) > MAX_PATTERN_REPEATS:
        raise _refused(f"a pattern repeats more than {MAX_PATTERN_REPEATS} times", param)


def _refused(reason: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"The JSON Schema cannot be used: {reason}.", "invalid_schema", param)


def _reason(error: Exception) -> str:
    """What the compiler says, without the place in its source where it says it."""
    last_line = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return re.sub(r"^\[[^\]]*\]\s*\S+:\d+:\s*", "", last_line).strip().rstrip(".")[:300]
