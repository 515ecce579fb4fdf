import struct

import jsonschema
import pytest

from serve.catalog.builtin import builtin_documents, builtin_names
from serve.catalog.cards import Card
from serve.domain.documents import ModelDocument
from serve.domain.errors import EngineFailed, InvalidRequest
from serve.domain.folds import Answer
from serve.domain.generation import AdapterUse, Artifact, Finished, TextDelta, ToolCallDelta, Vector
from serve.domain.media import Asset
from serve.domain.names import AssetId
from serve.domain.port_types import PortType, parse_type
from serve.domain.task import Task
from serve.gateway.workflows.known import facts_of
from serve.workflow.facts import ModelFacts
from serve.workflow.ports.model_calls import call_of, outputs_of, values_of
from serve.workflow.ports.model_ports import ports_of, task_for, task_ports
from serve.workflow.schemas import check_value

DOCUMENTS = {document.name: document for document in builtin_documents(builtin_names())}
EACH_TASK = [(name, task) for name, document in DOCUMENTS.items() for task in document.spec.tasks]
HIDDEN = {"logprobs", "top_logprobs"}
ADDED = {
    Task.CHAT: {"prompt", "system", "json_schema"},
    Task.EMBEDDING: {"inputs"},
}
PICTURE = Asset(AssetId("018f"), "ab" * 32, "image/png", 10, 1, width=64, height=64)
MASK = Asset(AssetId("0190"), "cd" * 32, "image/png", 10, 1, width=64, height=64)
ADAPTER = AdapterUse("acme/stripes@sha256:" + "ef" * 32, 0.5)


def facts(name: str, inputs: dict | None = None) -> ModelFacts:
    """Of a built-in model, with these overrides of its card."""
    plain = DOCUMENTS[name].model_dump(mode="json", by_alias=True, exclude_unset=True)
    plain["spec"]["card"].setdefault("inputs", {}).update(inputs or {})
    plain["spec"]["card"].pop("examples", None)
    document = ModelDocument.model_validate(plain)
    return facts_of(Card(document, document.digest()))


def values_for(task: Task) -> dict:
    """The least that a node of this task is given."""
    if task is Task.EMBEDDING:
        return {"input": "a cat"}
    pictures = {"image": PICTURE, "mask": MASK, "strength": 0.9} if task is Task.IMAGE_TO_IMAGE else {}
    return {"prompt": "a cat"} | pictures


@pytest.mark.parametrize(("name", "task"), EACH_TASK)
def test_every_input_of_every_built_in_card_is_a_port_that_a_form_can_show(name, task):
    model = facts(name)
    ports = ports_of(model, task)
    adapters = {"adapter", "adapters"} if model.takes_adapters else set()
    assert set(ports) == set(model.schemas[task]["properties"]) - HIDDEN | ADDED.get(task, set()) | adapters
    for port in ports.values():
        jsonschema.Draft202012Validator.check_schema(port.schema)
        assert port.schema["title"]
        assert port.description
        assert port.schema["description"] == port.description
        assert set(port.schema["x-ui"]) == {"widget", "group", "order", "advanced"}
        assert "$ref" not in str(port.schema)
        assert port.default is None or check_value(port.schema, port.default) is None
        assert not port.is_required or port.default is None


@pytest.mark.parametrize(("name", "task"), EACH_TASK)
def test_ports_have_the_bounds_and_the_defaults_of_the_card(name, task):
    model = facts(name)
    ports = ports_of(model, task)
    for field, schema in model.schemas[task]["properties"].items():
        if field not in ports or field in ("messages", "prompt", "input"):
            continue
        branches = [one for one in schema.get("anyOf", ()) if one.get("type") != "null"]
        inner = (branches[0] if len(branches) == 1 else {}) | schema
        for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum"):
            assert ports[field].schema.get(word) == inner.get(word), (field, word)
        assert ports[field].default == schema.get("default")
        assert ports[field].schema.get("default") == schema.get("default")


@pytest.mark.parametrize(("name", "task"), EACH_TASK)
def test_what_a_node_is_given_at_least_is_a_call_that_the_card_takes(name, task):
    model = facts(name)
    given = values_for(task)
    ports = ports_of(model, task, given)
    assert {port for port in ports if ports[port].is_required} <= given.keys() <= ports.keys()
    inputs, adapters = call_of(task, given | {"adapters": [ADAPTER], "seed": None})
    completed = model.card.complete(task, inputs)
    assert adapters == (ADAPTER,)
    assert completed.keys() == model.schemas[task]["properties"].keys()
    for field, value in completed.items():
        if field in ports and ports[field].default is not None and field not in given:
            assert value == ports[field].default


@pytest.mark.parametrize(
    ("name", "task", "overrides", "port", "shows"),
    [
        ("ssd-1b", "text_to_image", {"steps": {"minimum": 10, "maximum": 60, "default": 20}}, "steps",
         {"minimum": 10, "maximum": 60, "default": 20, "type": "integer"}),
        ("ssd-1b", "text_to_image", {"sampler": {"enum": ["lcm", "tcd"], "default": "lcm"}, "steps": {"maximum": 50}},
         "sampler", {"enum": ["lcm", "tcd"], "default": "lcm"}),
        ("ssd-1b", "text_to_image", {"negative_prompt": {"default": "grey"}}, "negative_prompt",
         {"default": "grey"}),
        ("ssd-1b", "image_to_image", {"strength": {"minimum": 0.2, "maximum": 0.5, "default": 0.3}}, "strength",
         {"minimum": 0.2, "maximum": 0.5, "default": 0.3}),
        ("ssd-1b", "text_to_image", {"prompt": {"description": "In English."}}, "prompt",
         {"description": "In English."}),
        ("echo", "chat", {"max_tokens": {"maximum": 64, "default": 32}}, "max_tokens", {"maximum": 64, "default": 32}),
        ("echo", "chat", {"temperature": {"maximum": 1.5, "default": 0.5}}, "temperature",
         {"maximum": 1.5, "default": 0.5}),
        ("echo", "chat", {"n": {"maximum": 2}}, "n", {"maximum": 2, "default": 1}),
        ("echo", "embedding", {"dimensions": {"maximum": 512}}, "dimensions", {"maximum": 512}),
    ],
)  # fmt: skip
def test_what_a_card_overrides_shows_in_the_port(name, task, overrides, port, shows):
    schema = ports_of(facts(name, overrides), Task(task))[port].schema
    assert {word: schema.get(word) for word in shows} == shows


def test_an_input_that_a_card_demands_is_required():
    assert ports_of(facts("sd15-inpainting"), Task.IMAGE_TO_IMAGE)["mask"].is_required
    assert not ports_of(facts("sdxl-base"), Task.IMAGE_TO_IMAGE)["mask"].is_required
    assert ports_of(facts("echo", {"max_tokens": {"required": True}}), Task.CHAT)["max_tokens"].is_required


def test_a_chat_shows_first_what_a_creator_writes_and_the_rest_as_advanced():
    ports = ports_of(facts("smollm2-135m-instruct"), Task.CHAT)
    plain = [name for name, port in ports.items() if not port.schema["x-ui"]["advanced"]]
    assert plain == ["system", "prompt", "max_tokens", "temperature", "seed", "adapter", "adapters"]
    assert {name: str(port.type) for name, port in ports.items()} == {
        "system": "text",
        "prompt": "text",
        "messages": "json",
        "max_tokens": "number",
        "temperature": "number",
        "seed": "number",
        "adapter": "adapter",
        "adapters": "list[adapter]",
        "top_p": "number",
        "top_k": "number",
        "min_p": "number",
        "presence_penalty": "number",
        "frequency_penalty": "number",
        "repetition_penalty": "number",
        "logit_bias": "json",
        "stop": "list[text]",
        "n": "number",
        "json_schema": "json",
        "response_format": "json",
        "tools": "json",
        "tool_choice": "json",
        "parallel_tool_calls": "boolean",
    }
    assert (ports["temperature"].default, ports["top_p"].default) == (0.2, 0.9)
    assert ports["max_tokens"].schema["maximum"] == 2048


def test_a_painter_shows_what_it_paints_before_how():
    ports = ports_of(facts("sdxl-base"), Task.IMAGE_TO_IMAGE)
    assert list(ports)[:5] == ["prompt", "negative_prompt", "image", "mask", "strength"]
    assert {name for name, port in ports.items() if port.schema["x-ui"]["advanced"]} == {
        "outpaint_left",
        "outpaint_right",
        "outpaint_top",
        "outpaint_bottom",
        "sampler",
        "output_format",
        "quality",
        "previews",
        "metadata",
    }
    widgets = {name: ports[name].schema["x-ui"]["widget"] for name in ("prompt", "image", "mask", "steps", "sampler")}
    assert widgets == {"prompt": "textarea", "image": "image", "mask": "mask", "steps": "slider", "sampler": "select"}
    assert ports["seed"].schema["x-ui"]["widget"] == "seed"
    assert (ports["image"].type, ports["mask"].type) == (parse_type("image"), parse_type("mask"))
    assert "data:" not in ports["image"].description


def test_the_adapters_that_a_port_takes_are_as_many_as_the_model_does():
    assert ports_of(facts("sdxl-base"), Task.TEXT_TO_IMAGE)["adapters"].schema["maxItems"] == 4
    assert "adapters" not in ports_of(facts("echo"), Task.CHAT)


def test_ports_are_made_once_for_a_card_and_anew_for_another():
    one = facts("sdxl-base")
    assert ports_of(one, Task.TEXT_TO_IMAGE) is ports_of(one, Task.TEXT_TO_IMAGE)
    other = facts("sdxl-base", {"steps": {"maximum": 30}})
    assert ports_of(other, Task.TEXT_TO_IMAGE)["steps"].schema["maximum"] == 30


@pytest.mark.parametrize("task", Task)
def test_a_node_that_leaves_the_model_open_has_the_ports_of_any_and_no_defaults(task):
    ports = task_ports(task)
    assert next(iter(ports)) == "model"
    assert ports["model"].is_required
    assert all(port.default is None and "default" not in port.schema for port in ports.values())
    for name, own in EACH_TASK:
        if own is task:
            assert ports_of(facts(name), task).keys() <= ports.keys()


@pytest.mark.parametrize(
    ("name", "given", "task", "chosen"),
    [
        ("sdxl-base", ["prompt"], None, "text_to_image"),
        ("sdxl-base", ["prompt", "image"], None, "image_to_image"),
        ("sdxl-base", ["prompt", "image", "nonsense"], None, "image_to_image"),
        ("sdxl-base", ["prompt"], "image_to_image", "image_to_image"),
        ("sdxl-base", [], None, "text_to_image"),
        ("echo", ["prompt"], None, "chat"),
        ("echo", ["messages"], None, "chat"),
        ("echo", ["prompt", "echo"], None, "completion"),
        ("echo", ["input"], None, "embedding"),
        ("echo", ["inputs"], None, "embedding"),
        ("sd15-inpainting", ["prompt"], None, "image_to_image"),
    ],
)
def test_a_node_is_about_the_first_task_that_has_its_inputs(name, given, task, chosen):
    assert task_for(facts(name), given, task and Task(task)) is Task(chosen)


def test_a_task_that_the_model_does_not_do_is_refused():
    with pytest.raises(InvalidRequest, match="minilm-l6-v2 does not do chat; it does embedding") as refused:
        task_for(facts("minilm-l6-v2"), ["prompt"], Task.CHAT)
    assert (refused.value.code, refused.value.param) == ("unknown_task", "task")


def test_with_messages_a_chat_needs_no_prompt_and_with_texts_an_embedding_no_text():
    echo = facts("echo")
    assert ports_of(echo, Task.CHAT)["prompt"].is_required
    assert not ports_of(echo, Task.CHAT, ["messages"])["prompt"].is_required
    assert ports_of(echo, Task.EMBEDDING)["input"].is_required
    assert not ports_of(echo, Task.EMBEDDING, ["inputs"])["input"].is_required


HELLO = {"role": "user", "content": "hello"}
ANSWERED = {"role": "assistant", "content": "yes?"}


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        ({"prompt": "hello"}, [HELLO]),
        ({"system": "be brief", "prompt": "hello"}, [{"role": "system", "content": "be brief"}, HELLO]),
        ({"system": "", "prompt": "hello"}, [HELLO]),
        ({"messages": [HELLO]}, [HELLO]),
        ({"messages": [HELLO, ANSWERED], "prompt": "go on"},
         [HELLO, ANSWERED, {"role": "user", "content": "go on"}]),
        ({"messages": [HELLO], "system": "s"}, [{"role": "system", "content": "s"}, HELLO]),
    ],
)  # fmt: skip
def test_system_messages_and_prompt_become_one_conversation(values, messages):
    inputs, _ = call_of(Task.CHAT, values)
    assert inputs == {"messages": messages}
    assert facts("echo").card.complete(Task.CHAT, inputs)["messages"]


@pytest.mark.parametrize(
    ("values", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "system", "content": "a"}], "system": "b"}, "system"),
        ({"prompt": "a", "json_schema": {}, "response_format": {"type": "text"}}, "json_schema"),
    ],
)
def test_ports_of_a_chat_that_contradict_one_another_are_refused(values, param):
    with pytest.raises(InvalidRequest) as refused:
        call_of(Task.CHAT, values)
    assert refused.value.param == param


def test_a_schema_for_the_answer_is_a_response_format():
    inputs, _ = call_of(Task.CHAT, {"prompt": "a", "json_schema": {"type": "object"}})
    assert facts("echo").card.complete(Task.CHAT, inputs)["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "description": None, "strict": None},
    }


def test_a_call_has_assets_by_id_whole_numbers_and_nothing_that_is_none():
    values = {"image": PICTURE, "mask": None, "prompt": "a cat", "steps": 20.0, "strength": 0.5, "adapters": [ADAPTER]}
    assert call_of(Task.IMAGE_TO_IMAGE, values | {"model": "sdxl-base"}) == (
        {"image": "asset:018f", "prompt": "a cat", "steps": 20, "strength": 0.5},
        (ADAPTER,),
    )


@pytest.mark.parametrize(
    ("values", "texts"),
    [({"input": "a"}, "a"), ({"inputs": ["a", "b"]}, ["a", "b"]), ({"input": "a", "inputs": ["b"]}, ["a", "b"])],
)
def test_an_embedding_is_of_one_text_or_of_many(values, texts):
    assert call_of(Task.EMBEDDING, values) == ({"input": texts}, ())


def answer(*events) -> Answer:
    folded = Answer()
    folded.add(events)
    return folded


def test_an_answer_gives_its_first_text_and_all_of_them():
    said = answer(TextDelta("no", 1), TextDelta("y"), TextDelta("es"), Finished("stop"), Finished("length", 1))
    values = values_of(Task.CHAT, said, {})
    assert values == {
        "text": "yes",
        "texts": ["yes", "no"],
        "json": None,
        "tool_calls": [],
        "finish_reason": "stop",
    }
    assert values_of(Task.COMPLETION, said, {}).keys() == outputs_of(Task.COMPLETION).keys()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1]}', {"a": [1]}),
        (' ```json\n{"a": 1}\n``` ', {"a": 1}),
        ("```\n[1]\n```", [1]),
        ("7", 7),
        ("NaN", None),
        ("not json", None),
        ("```json\n{", None),
        ("[" * 100_000, None),
    ],
)
def test_an_answer_that_is_json_is_read(text, value):
    assert values_of(Task.CHAT, answer(TextDelta(text[:200_000])), {})["json"] == value


def test_what_a_model_calls_is_read_and_its_own_words_kept_where_they_are_no_json():
    said = answer(
        ToolCallDelta(0, id="1", name="find", arguments='{"q":'),
        ToolCallDelta(0, arguments=' "x"}'),
        ToolCallDelta(1, id="2", name="stop", arguments="now"),
    )
    assert values_of(Task.CHAT, said, {})["tool_calls"] == [
        {"id": "1", "name": "find", "arguments": {"q": "x"}},
        {"id": "2", "name": "stop", "arguments": "now"},
    ]


def test_what_no_database_takes_is_replaced_in_texts():
    assert values_of(Task.CHAT, answer(TextDelta("a\0b\ud800")), {})["text"] == "a\N{REPLACEMENT CHARACTER}b" + (
        "\N{REPLACEMENT CHARACTER}"
    )


def test_pictures_come_in_their_order_with_the_seeds_that_make_them_again():
    made = answer(Artifact("image", MASK, 1), Artifact("image", PICTURE, 0))
    assert values_of(Task.TEXT_TO_IMAGE, made, {"seed": 7}) == {
        "image": PICTURE,
        "images": [PICTURE, MASK],
        "seed": 7,
        "seeds": [7, 8],
    }


def test_vectors_come_in_the_order_of_their_texts():
    given = answer(Vector(1, struct.pack("<2f", 3, 4)), Vector(0, struct.pack("<2f", 1, 2)))
    assert values_of(Task.EMBEDDING, given, {}) == {"embedding": [1, 2], "embeddings": [[1, 2], [3, 4]]}


@pytest.mark.parametrize(
    ("task", "lacking"),
    [
        (Task.CHAT, answer()),
        (Task.EMBEDDING, answer()),
        (Task.EMBEDDING, answer(Vector(0, struct.pack("<f", float("nan"))))),
        (Task.TEXT_TO_IMAGE, answer()),
    ],
)
def test_an_answer_without_what_was_asked_for_is_the_engines_failure(task, lacking):
    with pytest.raises(EngineFailed):
        values_of(task, lacking, {})


@pytest.mark.parametrize("task", Task)
def test_the_outputs_of_a_task_are_those_that_an_answer_gives(task):
    whole = answer(TextDelta("1"), Artifact("image", PICTURE), Vector(0, struct.pack("<f", 1)))
    assert values_of(task, whole, {"seed": 1}).keys() == outputs_of(task).keys()
    assert all(isinstance(one, PortType) for one in outputs_of(task).values())
