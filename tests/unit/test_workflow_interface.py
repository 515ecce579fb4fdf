import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.catalog.builtin import builtin_documents, builtin_names
from serve.catalog.cards import Card
from serve.domain.errors import InvalidRequest
from serve.domain.workflow import WorkflowInput, WorkflowSpec
from serve.gateway.workflows.known import facts_of
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.facts import Known, PublishedWorkflow
from serve.workflow.graph import Graph
from serve.workflow.interface import (
    check_inputs,
    input_problems,
    input_schema,
    output_schema,
    ports_of_graph,
    schema_of_input,
)
from serve.workflow.operations import OPERATIONS
from serve.workflow.ports.node_types import Words, node_types
from serve.workflow.problems import Code
from serve.workflow.schemas import check_value

CARDS = [Card(document, document.digest()) for document in builtin_documents(builtin_names())]
KNOWN = Known({card.name: facts_of(card) for card in CARDS})


def spec_of(inputs: list[dict], nodes: dict, outputs: list[dict]) -> WorkflowSpec:
    return WorkflowSpec.model_validate({"interface": {"inputs": inputs, "outputs": outputs}, "nodes": nodes})


def graph_of(spec: WorkflowSpec, known: Known = KNOWN) -> Graph:
    compiled = compile_workflow(spec, known)
    assert compiled.graph is not None, compiled.problems
    return compiled.graph


def refer(**inputs: str) -> dict:
    return {port: {"$input": name} for port, name in inputs.items()}


POSTER = spec_of(
    [
        {"name": "prompt", "type": "text", "title": "Subject", "constraints": {"maxLength": 200}},
        {"name": "steps", "type": "number", "default": 20, "constraints": {"minimum": 5}},
        {"name": "seed", "type": "number", "optional": True},
        {"name": "photo", "type": "image"},
        {"name": "style", "type": "list[adapter]", "optional": True},
    ],
    {
        "draft": {
            "type": "model:shapes-sd",
            "inputs": refer(prompt="prompt", steps="steps", seed="seed", adapters="style"),
        },
        "final": {
            "type": "model:ssd-1b",
            "inputs": refer(prompt="prompt", steps="steps", image="photo"),
        },
    },
    [
        {"name": "picture", "from": ["final", "image"], "title": "Poster", "primary": True},
        {"name": "seeds", "from": ["draft", "seeds"]},
    ],
)


def test_an_input_is_as_narrow_as_its_own_constraints_and_every_port_it_goes_to():
    properties = input_schema(graph_of(POSTER))["properties"]
    steps = properties["steps"]
    assert (steps["type"], steps["minimum"], steps["maximum"], steps["default"]) == ("integer", 5, 100, 20)
    assert (properties["prompt"]["maxLength"], properties["seed"]["exclusiveMaximum"]) == (200, 2**53)
    assert properties["style"]["maxItems"] == KNOWN.models["shapes-sd"].max_adapters


def test_an_input_takes_its_words_and_widget_from_itself_and_then_from_its_port():
    properties = input_schema(graph_of(POSTER))["properties"]
    assert properties["prompt"]["title"] == "Subject"
    assert properties["prompt"]["description"].startswith("What to paint.")
    assert properties["prompt"]["x-ui"] == {"widget": "textarea", "group": "", "order": 0, "advanced": False}
    assert properties["seed"]["x-ui"]["widget"] == "seed"
    assert properties["photo"]["format"] == "image"


def test_the_schema_of_an_interface_is_a_json_schema_of_an_object():
    schema = input_schema(graph_of(POSTER))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (schema["required"], schema["additionalProperties"]) == (["prompt", "photo"], False)
    jsonschema.Draft202012Validator.check_schema(output_schema(graph_of(POSTER)))


def test_inputs_go_through_with_defaults_and_without_what_is_left_out():
    given = {"prompt": "a fox", "photo": "asset:1", "seed": None, "steps": 30.0}
    taken = check_inputs(graph_of(POSTER), given)
    assert taken == {"prompt": "a fox", "photo": "asset:1", "steps": 30}
    assert isinstance(taken["steps"], int)
    assert check_inputs(graph_of(POSTER), {"prompt": "a", "photo": "asset:1"})["steps"] == 20


@pytest.mark.parametrize(
    ("given", "code", "param", "says"),
    [
        ({}, "missing_field", "prompt", "prompt is required; photo is required"),
        ({"prompt": "a", "photo": "asset:1", "stepz": 3}, "unknown_field", "stepz", "did you mean steps?"),
        ({"prompt": "a", "photo": "asset:1", "steps": 101}, "invalid_value", "steps", "steps must be at most 100"),
        ({"prompt": "a", "photo": "asset:1", "steps": 4}, "invalid_value", "steps", "steps must be at least 5"),
        (
            {"prompt": "a", "photo": "asset:1", "steps": "9"},
            "invalid_type",
            "steps",
            "must be a whole number (got '9')",
        ),
        (
            {"prompt": "a", "photo": "asset:1", "steps": 9.5},
            "invalid_type",
            "steps",
            "must be a whole number (got 9.5)",
        ),
        ({"prompt": True, "photo": "asset:1"}, "invalid_type", "prompt", "prompt must be a text (got true)"),
        ({"prompt": "a" * 201, "photo": "asset:1"}, "invalid_value", "prompt", "at most 200 character(s)"),
        ({"prompt": "a", "photo": "x.png"}, "invalid_value", "photo", "photo must be an image, written as asset:<id>"),
        ({"prompt": "a", "photo": "asset:1", "style": "s"}, "invalid_type", "style", "style must be a list"),
        ({"prompt": "a", "photo": "asset:1", "style": ["a/b/c"]}, "invalid_value", "style", "must be an adapter"),
        ({"prompt": "a", "photo": "asset:1", "style": ["a"] * 9}, "invalid_value", "style", "at most 4 item(s)"),
    ],
)
def test_a_bad_input_is_refused_by_its_name(given, code, param, says):
    with pytest.raises(InvalidRequest) as refused:
        check_inputs(graph_of(POSTER), given)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert says in str(refused.value)


def test_everything_that_is_wrong_is_told_at_once():
    found = input_problems(graph_of(POSTER), {"steps": 101, "seed": -1, "more": 1})
    assert [(one.code, one.field) for one in found] == [
        (Code.UNKNOWN_INPUT, "more"),
        (Code.MISSING_INPUT, "prompt"),
        (Code.INVALID_VALUE, "steps"),
        (Code.INVALID_VALUE, "seed"),
        (Code.MISSING_INPUT, "photo"),
    ]


@pytest.mark.parametrize("photo", ["asset:1", "data:image/png;base64,AAAA", "https://x.example/a.png"])
def test_a_request_may_write_a_picture_in_any_way_until_it_is_fetched(photo):
    assert check_inputs(graph_of(POSTER), {"prompt": "a", "photo": photo}, fetched=False)["photo"] == photo


@pytest.mark.parametrize("photo", ["file:///etc/passwd", 3, {"asset": {"id": "1"}}])
def test_what_is_no_picture_in_any_way_is_refused_before_anything_is_fetched(photo):
    with pytest.raises(InvalidRequest, match="photo must be an image: asset:<id>, a data: URL or an http"):
        check_inputs(graph_of(POSTER), {"prompt": "a", "photo": photo}, fetched=False)


def test_a_list_that_a_node_is_run_over_has_the_ports_bounds_item_by_item():
    spec = spec_of(
        [{"name": "sizes", "type": "list[number]", "constraints": {"maxItems": 3, "maximum": 200}}],
        {"gen": {"type": "model:shapes-sd", "inputs": {"prompt": "a", "width": {"$input": "sizes"}}, "map": ["width"]}},
        [{"name": "all", "from": ["gen", "image"]}],
    )
    schema = input_schema(graph_of(spec))["properties"]["sizes"]
    assert schema["maxItems"] == 3
    items = schema["items"]
    assert (items["type"], items["minimum"], items["maximum"], items["multipleOf"]) == ("integer", 64, 200, 8)


def test_a_number_that_goes_into_a_text_has_no_bounds_of_a_text():
    spec = spec_of(
        [{"name": "age", "type": "number"}],
        {"gen": {"type": "model:shapes-sd", "inputs": {"prompt": {"$input": "age"}}}},
        [{"name": "image", "from": ["gen", "image"]}],
    )
    schema = input_schema(graph_of(spec))["properties"]["age"]
    assert (schema["type"], "maxLength" in schema) == ("number", False)


def test_a_workflow_within_another_passes_its_bounds_on():
    known = Known(KNOWN.models, {"poster@1": PublishedWorkflow("poster", 1, POSTER)})
    outer = spec_of(
        [{"name": "effort", "type": "number"}, {"name": "words", "type": "text"}, {"name": "shot", "type": "image"}],
        {"inner": {"type": "workflow:poster@1", "inputs": refer(steps="effort", prompt="words", photo="shot")}},
        [{"name": "picture", "from": ["inner", "picture"]}],
    )
    properties = input_schema(graph_of(outer, known))["properties"]
    assert (properties["effort"]["minimum"], properties["effort"]["maximum"]) == (5, 100)
    assert properties["words"]["maxLength"] == 200


@pytest.mark.parametrize(
    ("one", "field", "says"),
    [
        ({"type": "number", "default": 101}, "interface.inputs.0.default", "default must be at most 100"),
        ({"type": "number", "constraints": {"minimum": 101}}, "interface.inputs.0", "no value of x is good"),
    ],
)
def test_an_input_that_its_ports_leave_no_value_or_no_default_is_refused(one, field, says):
    spec = spec_of(
        [{"name": "x"} | one],
        {"gen": {"type": "model:ssd-1b", "inputs": {"prompt": "a", "steps": {"$input": "x"}}}},
        [{"name": "image", "from": ["gen", "image"]}],
    )
    compiled = compile_workflow(spec, KNOWN)
    assert compiled.graph is None
    assert [(problem.code, problem.field) for problem in compiled.problems] == [(Code.INVALID_VALUE, field)]
    assert says in compiled.problems[0].message


def test_the_ports_of_a_workflow_are_its_inputs():
    ports = ports_of_graph(graph_of(POSTER))
    assert [(name, port.is_required, port.default) for name, port in ports.items()] == [
        ("prompt", True, None),
        ("steps", False, 20),
        ("seed", False, None),
        ("photo", True, None),
        ("style", False, None),
    ]


def test_outputs_are_described_as_runs_write_them_and_may_be_null():
    schema = output_schema(graph_of(POSTER), POSTER.interface.outputs)
    picture, seeds = schema["properties"]["picture"], schema["properties"]["seeds"]
    assert (picture["title"], picture["format"], picture["x-primary"]) == ("Poster", "image", True)
    validator = jsonschema.Draft202012Validator(schema)
    asset = {"id": "1", "media_type": "image/png", "num_bytes": 1, "sha256": "ab", "width": 64, "height": 64}
    assert validator.is_valid({"picture": {"asset": asset}, "seeds": [1, 2]})
    assert validator.is_valid({"picture": None, "seeds": None})
    assert not validator.is_valid({"picture": "asset:1", "seeds": [1]})
    assert seeds["items"] == {"type": "number"}


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        (
            {"type": "number", "constraints": {"minimum": 1, "maximum": 9, "multipleOf": 2, "integer": True}},
            {"type": "integer", "minimum": 1, "maximum": 9, "multipleOf": 2},
        ),
        ({"type": "text", "constraints": {"enum": ["a"], "minimum": 3}}, {"type": "string", "enum": ["a"]}),
        (
            {"type": "list[text]", "constraints": {"maxLength": 3, "maxItems": 2}},
            {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        ),
        ({"type": "json"}, {}),
        ({"type": "boolean"}, {"type": "boolean"}),
    ],
)
def test_constraints_are_said_in_the_words_of_json_schema(written, schema):
    assert schema_of_input(WorkflowInput.model_validate({"name": "x"} | written)) == schema


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(), st.integers(-5, 5), st.integers(0, 9))
def test_what_a_schema_takes_is_what_the_check_takes(value, low, span):
    one = WorkflowInput.model_validate(
        {"name": "x", "type": "number", "constraints": {"minimum": low, "maximum": low + span, "integer": True}}
    )
    fits = jsonschema.Draft202012Validator(input_schema([one])).is_valid({"x": value})
    assert (input_problems([one], {"x": value}) == []) == fits


def test_json_that_is_nested_too_deeply_is_refused():
    value: object = 1
    for _ in range(20):
        value = [value]
    one = WorkflowInput.model_validate({"name": "data", "type": "json"})
    with pytest.raises(InvalidRequest, match="data is nested more than 16 levels deep"):
        check_inputs([one], {"data": value})
    assert check_inputs([one], {"data": {"a": [1, None]}}) == {"data": {"a": [1, None]}}


PALETTE = node_types(
    Known(KNOWN.models, {"poster@1": PublishedWorkflow("poster", 1, POSTER)}),
    OPERATIONS,
    {"ssd-1b": Words("SSD-1B", "Fast.", ("image",))},
    {"poster@1": graph_of(POSTER)},
)


def entry(node_type: str, task: str | None = None) -> dict:
    return next(one for one in PALETTE if one["type"] == node_type and task in (None, one.get("task")))


def test_the_palette_has_every_model_task_operation_and_workflow():
    found = {(one["type"], one.get("task")) for one in PALETTE}
    assert len(found) == len(PALETTE)
    assert {(f"model:{name}", str(task)) for name, facts in KNOWN.models.items() for task in facts.tasks} <= found
    assert {(f"op:{name}", None) for name in OPERATIONS} <= found
    assert {("workflow:poster@1", None), ("task:text_to_image", "text_to_image")} <= found


@pytest.mark.parametrize("one", PALETTE, ids=lambda one: f"{one['type']} {one.get('task', '')}")
def test_every_port_of_the_palette_says_what_a_form_needs(one):
    assert one["title"]
    assert one["category"]
    assert one["outputs"]
    for port in one["inputs"]:
        jsonschema.Draft202012Validator.check_schema(port["schema"])
        assert port["title"]
        assert port["description"] or one["type"].startswith("workflow:")
        assert port["schema"]["x-ui"]["widget"]
        assert port["default"] is None or check_value(port["schema"], port["default"]) is None
        assert not (port["required"] and port["default"] is not None)


def test_a_model_is_called_in_the_palette_what_its_card_calls_it():
    one = entry("model:ssd-1b", "text_to_image")
    assert (one["title"], one["description"], one["category"]) == ("SSD-1B", "Fast.", "Text to image")
    assert [port["name"] for port in one["outputs"]] == ["image", "images", "seed", "seeds"]


def test_a_node_that_leaves_the_model_open_lists_the_models_that_do_the_task():
    model = entry("task:embedding")["inputs"][0]
    assert (model["name"], model["required"], model["schema"]["enum"]) == ("model", True, ["echo", "minilm-l6-v2"])


def test_a_workflow_shows_in_the_palette_with_the_bounds_of_its_models_and_the_types_of_its_outputs():
    one = entry("workflow:poster@1")
    steps = next(port for port in one["inputs"] if port["name"] == "steps")
    assert (steps["schema"]["maximum"], steps["default"], steps["required"]) == (100, 20, False)
    assert [(port["name"], port["type"], port["title"]) for port in one["outputs"]] == [
        ("picture", "image", "Poster"),
        ("seeds", "list[number]", "Seeds"),
    ]
