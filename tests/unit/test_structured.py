"""Which JSON Schemas are admitted."""

import asyncio
import threading

import pytest
from fakes.effort import effort

from deployments.engines import structured
from deployments.engines.structured import Constraint, SchemaGate, check_schema, constraint, forced_calls_schema
from serve.domain.chat import ChatInput, Tool
from serve.domain.errors import InvalidRequest


def nested(depth: int) -> dict:
    schema: dict = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object", "properties": {"a": {"type": "string"}}}, id="object"),
        pytest.param({"type": "object", "properties": {"not": {"type": "string"}, "if": {}}}, id="keywords as names"),
        pytest.param({"enum": [{"not": 1, "$ref": "http://x"}]}, id="keywords in data"),
        pytest.param({"$defs": {"n": {"items": {"$ref": "#/$defs/n"}}}, "$ref": "#/$defs/n"}, id="recursive"),
        pytest.param({"type": "string", "pattern": "^(a+)+$"}, id="a pattern that backtracks elsewhere"),
        pytest.param({"type": "string", "pattern": r"\(?=a[(?=]b"}, id="a pattern that only seems to look ahead"),
        pytest.param(nested(31), id="deep"),
    ],
)
def test_an_ordinary_schema_is_taken(schema):
    assert check_schema(schema, "p").startswith("{")


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        pytest.param({"description": "x" * 70_000}, "bytes", id="size"),
        pytest.param(nested(33), "deeper", id="depth"),
        pytest.param(nested(50_000), "deeper", id="a depth that recursion would not survive"),
        pytest.param({"properties": {f"p{i}": {} for i in range(501)}}, "properties", id="properties"),
        pytest.param({"type": "string", "pattern": "a" * 513}, "pattern", id="pattern length"),
        pytest.param({"type": "string", "pattern": "a{1,10000}"}, "repeats", id="pattern repeats"),
        pytest.param({"patternProperties": {"a{5000}": {}}}, "repeats", id="pattern of a name"),
        pytest.param({"type": "string", "maxLength": 1_000_000}, "length", id="length bound"),
        pytest.param({"$ref": "https://example.com/schema"}, "leads out", id="remote reference"),
        pytest.param({"enum": ["x" * 10_000 + str(i) for i in range(6)]}, "longer than 500", id="long texts alike"),
        pytest.param({"type": "string", "pattern": "(?<!a)b"}, "looks ahead or behind", id="look-around"),
        pytest.param({"not": {"type": "string"}}, "'not'", id="a keyword that would be ignored"),
    ],
)
def test_a_schema_that_costs_or_cannot_be_enforced_is_refused_at_once(schema, reason):
    with effort() as spent, pytest.raises(InvalidRequest, match=reason) as refused:
        check_schema(schema, "the.path")
    assert (refused.value.code, refused.value.param) == ("invalid_schema", "the.path")
    assert spent.seconds < 1


TOOLS = [
    {"type": "function", "function": {"name": "a", "parameters": {"$defs": {"x": {}}, "items": {"$ref": "#/$defs/x"}}}},
    {"type": "function", "function": {"name": "b"}},
]


def chat(**inputs: object) -> ChatInput:
    return ChatInput.model_validate({"messages": [{"role": "user", "content": "x"}], **inputs})


def test_references_of_a_tools_schema_move_with_it():
    schema = forced_calls_schema([Tool.model_validate(tool) for tool in TOOLS], max_calls=3)
    assert schema["$defs"]["tool0"]["items"] == {"$ref": "#/$defs/tool0/$defs/x"}
    assert (schema["minItems"], schema["maxItems"]) == (1, 3)


@pytest.mark.parametrize(
    ("inputs", "param"),
    [
        pytest.param({}, None, id="free"),
        pytest.param({"tools": TOOLS}, None, id="auto"),
        pytest.param({"tools": TOOLS, "tool_choice": "required"}, "tools", id="required"),
        pytest.param(
            {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "b"}}}, "tools", id="named"
        ),
        pytest.param({"response_format": {"type": "text"}}, None, id="text"),
        pytest.param({"response_format": {"type": "json_object"}}, "response_format", id="json object"),
        pytest.param(
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
            "response_format.json_schema.schema",
            id="json schema",
        ),
    ],
)
def test_what_constrains_an_answer(inputs, param):
    wanted = constraint(chat(**inputs))
    assert (wanted.param if wanted else None) == param


async def test_a_schema_is_compiled_once():
    compiled: list[str] = []
    gate = SchemaGate(compiled.append)
    for schema in ("a", "b", "a"):
        await gate.admit(Constraint(schema, "p"))
    assert compiled == ["a", "b"]
    gate.close()


async def test_the_gate_remembers_a_bounded_number(monkeypatch):
    monkeypatch.setattr(structured, "NUM_REMEMBERED", 10)
    gate = SchemaGate(lambda schema: None)
    for i in range(50):
        await gate.admit(Constraint(str(i), "p"))
    assert len(gate._passed) == 10
    gate.close()


async def test_a_schema_that_does_not_compile_is_the_callers_error_without_our_paths():
    def compile_schema(schema: str) -> None:
        raise RuntimeError('[15:36:53] /project/cpp/json_schema.cc:49: Unsupported type "strange"\n')

    gate = SchemaGate(compile_schema)
    with pytest.raises(InvalidRequest, match='Unsupported type "strange"') as refused:
        await gate.admit(Constraint("{}", "p"))
    assert "/project" not in str(refused.value)
    gate.close()


async def test_a_compilation_that_hangs_is_refused_and_holds_its_slot_until_it_ends(monkeypatch):
    monkeypatch.setattr(structured, "COMPILE_SECONDS", 0.02)
    release = threading.Event()
    gate = SchemaGate(lambda schema: (schema == "slow" and release.wait(60), None)[1])
    with pytest.raises(InvalidRequest, match="too long"):
        await gate.admit(Constraint("slow", "p"))
    await gate.admit(Constraint("quick", "p"))
    assert gate._free._value == structured.NUM_COMPILERS - 1
    release.set()
    async with asyncio.timeout(60):
        while gate._free._value < structured.NUM_COMPILERS:
            await asyncio.sleep(0.005)
    gate.close()
