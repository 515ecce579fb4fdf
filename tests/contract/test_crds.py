"""The definitions of the custom resources: an API server takes them, and they say what the documents' classes say."""

import copy
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from fakes import documents
from fakes.api_server import PRESERVE, RULES, Admission, Schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.crds.__main__ import FOLDER, files
from operators.crds.kinds import RESOURCE_KINDS, ResourceKind, definition, root_schema
from serve.catalog.builtin import builtin_adapters, builtin_documents, builtin_names
from serve.catalog.yaml_text import as_yaml
from serve.domain.kinds import KINDS

ROOT = Path(__file__).parents[2]
SCHEMAS = {name: root_schema(kind) for name, kind in RESOURCE_KINDS.items()}
ADMISSIONS = {name: Admission(schema) for name, schema in SCHEMAS.items()}
BODIES = {
    "Platform": documents.platform_bodies,
    "Model": documents.model_bodies(),
    "Adapter": documents.adapter_bodies,
}
SAMPLES = [
    pytest.param(body, id=f"{file.stem}-{index}")
    for file in sorted((ROOT / "k8s/samples").glob("*.yaml"))
    for index, body in enumerate(yaml.safe_load_all(file.read_text("utf-8")))
]
each_kind = pytest.mark.parametrize("kind", RESOURCE_KINDS.values(), ids=RESOURCE_KINDS)


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema within, with its path."""
    yield path or ".", schema
    for key, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{key}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


EVERY = [(f"{kind}{path}", schema) for kind, root in SCHEMAS.items() for path, schema in nodes(root)]


# --- What an API server asks of a definition


@each_kind
def test_a_definition_is_what_kubernetes_says_a_definition_is(kind: ResourceKind) -> None:
    kubernetes_validate.validate(definition(kind), "1.36", strict=True)


@each_kind
def test_a_definition_is_small_enough_for_kubectl_to_remember_what_it_applied(kind: ResourceKind) -> None:
    assert len(json.dumps(definition(kind))) < 262_144 / 2


def test_the_files_of_the_chart_are_these_definitions() -> None:
    kept = {file.name: file.read_text("utf-8") for file in (ROOT / FOLDER).glob("*.yaml")}
    assert kept == files(), "run `make render`"


class _AsGoReads(yaml.SafeLoader):
    """YAML 1.1 to the letter, as kubectl and Helm read it: y and n are booleans."""


_AsGoReads.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:y|Y|n|N)$"), list("yYnN"))
_AsGoReads.add_constructor("tag:yaml.org,2002:bool", lambda loader, node: str(node.value).lower() in "y yes on true")


@each_kind
def test_kubectl_reads_a_file_as_it_was_meant(kind: ResourceKind) -> None:
    assert yaml.load(files()[f"{kind.plural}.yaml"], _AsGoReads) == definition(kind)


@pytest.mark.parametrize("file", sorted((ROOT / "k8s/samples").glob("*.yaml")), ids=lambda file: file.stem)
def test_kubectl_reads_a_sample_as_slipway_does(file: Path) -> None:
    text = file.read_text("utf-8")
    assert list(yaml.load_all(text, _AsGoReads)) == list(yaml.safe_load_all(text))


_ALLOWED = {
    "description", "type", "format", "pattern", "enum", "default", "nullable", "required", "properties", "items",
    "additionalProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties", "multipleOf", PRESERVE, RULES,
    "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
}  # fmt: skip


def test_every_schema_is_structural() -> None:
    for path, schema in EVERY:
        assert schema.keys() <= _ALLOWED, path
        assert schema.get("type") or schema.get(PRESERVE), f"{path} has no type"
        assert not ("properties" in schema and "additionalProperties" in schema), path
        assert schema.get("additionalProperties", {}) is not False, path
        assert isinstance(schema.get("exclusiveMinimum", True), bool), path
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys(), path
        if schema["type"] == "array" if "type" in schema else False:
            assert "items" in schema, path


def test_of_metadata_the_name_alone_is_bound() -> None:
    for schema in SCHEMAS.values():
        assert schema["properties"]["metadata"].keys() == {"type", "properties"}
        assert schema["properties"]["metadata"]["properties"].keys() == {"name"}


def test_every_pattern_is_one_that_go_knows() -> None:
    for path, schema in EVERY:
        pattern = schema.get("pattern", "")
        re.compile(pattern)
        assert not re.search(r"\(\?[=!<P]|\\[1-9]|\\[zZA]", pattern), path


def test_an_enumeration_has_no_null_and_its_field_takes_none() -> None:
    for path, schema in EVERY:
        assert not ("enum" in schema and schema.get("nullable")), path
        assert None not in schema.get("enum", ()), path


def test_lists_by_key_have_items_with_that_key() -> None:
    keyed = {path: schema for path, schema in EVERY if schema.get("x-kubernetes-list-type") == "map"}
    assert {"Platform.spec.pools", "Model.status.conditions", "Platform.status.pools"} <= keyed.keys()
    for path, schema in keyed.items():
        assert set(schema["x-kubernetes-list-map-keys"]) <= set(schema["items"]["required"]), path
        assert "default" not in schema, f"{path}: its items would be merged with those that are applied"


def test_every_default_is_valid_as_it_stands() -> None:
    defaults = {path: schema for path, schema in EVERY if "default" in schema}
    assert len(defaults) > 50
    for path, schema in defaults.items():
        assert Admission(schema).takes(schema["default"]), path


def test_no_default_stands_in_the_way_of_scaling_or_ages_with_the_resource() -> None:
    by_path = dict(EVERY)
    for path in ("Model.spec.scaling.minReplicas", "Model.spec.scaling.maxReplicas", "Platform.spec.image.tag"):
        assert "default" not in by_path[path]
    assert not any("default" in schema for path, schema in EVERY if path.startswith("Model.spec.engine"))
    assert "nullable" not in by_path["Model.spec.scaling.replicas"]


# --- What kubectl shows


def test_every_field_is_explained() -> None:
    fields = [
        (path, schema) for path, schema in EVERY if not path.endswith(("[]", "{}", ".metadata", ".metadata.name"))
    ]
    assert [path for path, schema in fields if len(schema.get("description", "").split(" Default:")[0]) < 4] == []


@each_kind
def test_a_column_shows_a_field_that_there_is(kind: ResourceKind) -> None:
    by_path = {path.split(kind.name, 1)[1]: schema for path, schema in EVERY if path.startswith(f"{kind.name}.")}
    for column in kind.columns:
        path = re.sub(r"\[\?\(.*?\)\]", "[]", column.path)
        if not path.startswith(".metadata"):
            shown = by_path[path]
            assert column.type == {"array": "string"}.get(shown["type"], shown["type"]), column.name
    for _, path in kind.scale:
        assert by_path[path]["type"] in ("integer", "string")
    for path in kind.selectable:
        assert by_path[path]["type"] == "string"


def test_names_of_kinds_are_all_different() -> None:
    names = [name for kind in RESOURCE_KINDS.values() for name in (kind.plural, kind.short, kind.name.lower())]
    assert len(set(names)) == len(names)
    assert RESOURCE_KINDS.keys() == KINDS.keys()


# --- Rules

RULED = [(path, schema, rule) for path, schema in EVERY for rule in schema.get(RULES, ())]
each_rule = pytest.mark.parametrize(
    ("path", "schema", "rule"), RULED, ids=[f"{p}-{i}" for i, (p, *_) in enumerate(RULED)]
)
MAX_RULE_COST, MAX_DEFINITION_COST = 10_000_000, 100_000_000
"""Of Kubernetes, by its own estimate."""


def _fields(rule: str) -> list[str]:
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "''", rule)
    found = re.findall(r"\b(?:self|oldSelf)((?:\.[A-Za-z]+(?!\w*\())+)", bare)
    return [path.strip(".") for path in found]


@each_rule
def test_a_rule_names_fields_that_there_are(path: str, schema: Schema, rule: Mapping[str, str]) -> None:
    for dotted in [*_fields(rule["rule"]), *filter(None, [rule.get("fieldPath", "").strip(".")])]:
        found = schema
        for name in dotted.split("."):
            found = found["properties"][name]
            assert found.get("type"), f"{dotted} cannot be seen by rules"


@each_rule
def test_a_rule_has_one_sentence(path: str, schema: Schema, rule: Mapping[str, str]) -> None:
    assert rule["message"]
    assert "\n" not in rule["message"]
    assert not rule["message"].endswith(".")


def _bounds(path: str) -> int:
    """How often a schema at this path may stand in a resource."""
    often, here = 1, SCHEMAS[path.split(".")[0]]
    for step in re.findall(r"\.[A-Za-z]+|\[\]|\{\}", path.split(".", 1)[1] and "." + path.split(".", 1)[1]):
        if step in ("[]", "{}"):
            bound = here.get("maxItems" if step == "[]" else "maxProperties")
            assert bound is not None, f"{path} may stand there without end"
            often *= bound
            here = here["items" if step == "[]" else "additionalProperties"]
        else:
            here = here["properties"][step[1:]]
    return often


def _cost(schema: Schema, rule: str) -> int:
    """More than the server will estimate: every step costs one, a text by its bytes, a loop by its items."""
    loops = 1
    for name in re.findall(r"self(?:\.(\w+))?\.(?:all|exists_one|exists)\(", rule):
        looped = schema["properties"][name] if name else schema
        bound = looped.get("maxItems", looped.get("maxProperties"))
        assert bound is not None, f"{rule} goes through a list without end"
        loops *= bound
    texts = sum(4 * 253 * len(pattern) // 20 for pattern in re.findall(r"matches\((.*?)\)", rule))
    return loops * (len(re.findall(r"\w+|[^\w\s]", rule)) + texts)


def test_the_rules_are_cheap_enough_for_the_server_to_take() -> None:
    costs = {f"{path}: {rule['rule']}": _bounds(path) * _cost(schema, rule["rule"]) for path, schema, rule in RULED}
    assert max(costs.values()) < MAX_RULE_COST
    for kind in SCHEMAS:
        assert sum(cost for path, cost in costs.items() if path.startswith(f"{kind}.")) < MAX_DEFINITION_COST


def test_texts_that_rules_compare_have_an_end() -> None:
    for path, schema, rule in RULED:
        for dotted in _fields(re.sub(r"has\([^)]*\)", "", rule["rule"])):
            found = schema
            for name in dotted.split("."):
                found = found["properties"][name]
            if found["type"] == "string" and path != "Platform.":
                assert "enum" in found or "maxLength" in found, f"{path}.{dotted}"


# --- What is taken, and what is not


@pytest.mark.parametrize("kind", BODIES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(data=st.data())
def test_every_valid_document_is_taken_and_kept_as_it_is(kind: str, data: st.DataObject) -> None:
    body = data.draw(BODIES[kind])
    assert ADMISSIONS[kind].refusals(body) == []
    assert ADMISSIONS[kind].refusals(body, old=body) == []
    assert KINDS[kind].model_validate(ADMISSIONS[kind].kept(body)) == KINDS[kind].model_validate(body)


@pytest.mark.parametrize("body", SAMPLES)
def test_every_sample_is_taken(body: dict[str, Any]) -> None:
    assert ADMISSIONS[body["kind"]].refusals(body) == []


def test_every_builtin_document_is_taken() -> None:
    models = builtin_documents(builtin_names())
    adapters = [adapter for model in models for adapter in builtin_adapters(model.name)]
    assert models
    assert adapters
    for document in (*models, *adapters):
        body = document.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {
            "apiVersion": "slipway.dev/v1alpha1"
        }
        assert ADMISSIONS[document.kind].refusals(body) == [], document.name


ECHO = {"family": "llm", "tasks": ["chat"], "card": {"title": "Echo"}, "engine": {"kind": "echo"}}
DIFFUSION = {"family": "text_to_image", "tasks": ["text_to_image"], "engine": {"kind": "diffusion"}}
POOL = {"name": "h200", "gpusPerNode": 8}
LORA = {"weights": {"uri": "hf://org/lora"}}
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "a number and a range": ("Model", {"scaling": {"replicas": 2, "minReplicas": 1}}, "replicas is a fixed number"),
    "a range upside down": ("Model", {"scaling": {"minReplicas": 2}}, "minReplicas is more than maxReplicas"),
    "a part of several GPUs": ("Model", {"placement": {"gpus": 1.5}}, "gpus above 1 is a whole number"),
    "another family's task": ("Model", {"tasks": ["chat", "text_to_image"]}, "a model of the family llm does chat,"),
    "another family's engine": (
        "Model",
        {"engine": {"kind": "diffusion"}, "weights": {"uri": "hf://a/b"}},
        "the family llm is",
    ),
    "no weights": ("Model", {"engine": {"kind": "vllm"}}, "every engine but echo needs weights"),
    "adapters for vectors": (
        "Model",
        {"engine": {"kind": "transformers"}, "weights": {"uri": "hf://a/b"}, "adapters": {"enabled": True}},
        "an engine that makes vectors takes no adapters",
    ),
    "another engine's option": (
        "Model",
        {"engine": {"kind": "echo", "maxRows": 4}},
        "maxRows is an option of the engine diffusion",
    ),
    "beyond this engine": (
        "Model",
        {**DIFFUSION, "weights": {"uri": "hf://a/b"}, "engine": {"kind": "diffusion", "maxConcurrency": 2000}},
        "maxConcurrency is at most 1024 for the engine diffusion",
    ),
    "two tiers": (
        "Model",
        {"prices": {"tiers": [{"abovePromptTokens": 9}, {"abovePromptTokens": 9}]}},
        "two tiers begin",
    ),
    "two sizes": (
        "Model",
        {"prices": {"imageSizes": [{"upToPixels": 9, "image": "1"}, {"upToPixels": 9, "image": "2"}]}},
        "two prices are for images",
    ),
    "a price for a version": (
        "Model",
        {"prices": {"adapters": {"acme/style@sha256:1": "1"}}},
        "adapters are named as tenant/name",
    ),
    "a price in words": ("Model", {"prices": {"prompt": "much"}}, "spec.prices.prompt:"),
    "a nameless pin": ("Model", {"adapters": {"pinned": ["style"]}}, "spec.adapters.pinned.0:"),
    "no such engine": ("Model", {"engine": {"kind": "magic"}}, "spec.engine.kind:"),
    "a misspelt field": ("Model", {"placment": {}}, 'unknown field "spec.placment"'),
    "another place for weights": ("Model", {"weights": {"uri": "ftp://x/y"}}, "spec.weights.uri:"),
    "two pools of a name": ("Platform", {"pools": [POOL, POOL]}, "Duplicate value: ('h200',)"),
    "no pools": ("Platform", {"pools": []}, "spec.pools:"),
    "a pool of Ray's own": ("Platform", {"pools": [{"name": "headgroup"}]}, "headgroup is Ray's own name"),
    "a pool upside down": ("Platform", {"pools": [POOL | {"minNodes": 3}]}, "minNodes is more than maxNodes"),
    "GPUs without GPUs": ("Platform", {"pools": [POOL | {"cpu": True}]}, "cpu says that the pool has no GPUs"),
    "GPUs unnumbered": (
        "Platform",
        {"pools": [{"name": "a", "accelerator": "nvidia-h200"}]},
        "say how many with gpusPerNode",
    ),
    "the latest": ("Platform", {"image": {"tag": "latest"}}, "the tag latest is whatever was pushed last"),
    "two caches": ("Platform", {"stores": {"cache": {"storageClass": "a", "claim": "b"}}}, "name one"),
    "a gateway nowhere": ("Platform", {"gateway": {"expose": "gateway"}}, "expose gateway needs parent"),
    "a gateway upside down": ("Platform", {"gateway": {"minReplicas": 2}}, "minReplicas is more than maxReplicas"),
    "a value of any": (
        "Platform",
        {"ray": {"head": {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}}},
        "a toleration with the operator Exists has no value",
    ),
    "a keyless taint": ("Platform", {"ray": {"head": {"tolerations": [{"value": "b"}]}}}, "a toleration without a key"),
    "seconds for no effect": (
        "Platform",
        {"ray": {"head": {"tolerations": [{"key": "a", "tolerationSeconds": 3}]}}},
        "tolerationSeconds goes with the effect NoExecute",
    ),
    "a foreign setting": ("Platform", {"settings": {"PATH": "x"}}, "keys must match ^(SLIPWAY|"),
    "a label with a space": ("Platform", {"pools": [POOL | {"nodeSelector": {"a b": "c"}}]}, "keys must match"),
    "an adapter without weights": ("Adapter", {"weights": None}, "spec.weights:"),
    "too strong": ("Adapter", {"defaultScale": 11}, "spec.defaultScale:"),
    "shared with nobody": ("Adapter", {"sharedWith": ["?"]}, "spec.sharedWith.0:"),
    "a node with a capital": ("Workflow", {"nodes": {"Node": {"type": "task:chat"}}}, "keys must match"),
    "too many nodes": ("Workflow", {"nodes": {f"n{i}": {"type": "task:chat"} for i in range(501)}}, "spec.nodes:"),
    "a type unheard of": (
        "Workflow",
        {"interface": {"inputs": [{"name": "a", "type": "smell"}]}},
        "spec.interface.inputs.0.type:",
    ),
}
GOOD: dict[str, dict[str, Any]] = {"Model": ECHO, "Platform": {"pools": [POOL]}, "Adapter": LORA, "Workflow": {}}


@pytest.mark.parametrize(("kind", "change", "sentence"), WRONG.values(), ids=WRONG)
def test_a_wrong_document_gets_one_clear_message(kind: str, change: dict[str, Any], sentence: str) -> None:
    body = documents.envelope(kind, "name", GOOD[kind] | change)
    assert ADMISSIONS[kind].refusals(documents.envelope(kind, "name", GOOD[kind])) == []
    (message,) = ADMISSIONS[kind].refusals(body)
    assert sentence in message
    with pytest.raises(ValidationError):
        KINDS[kind].model_validate(body)


@pytest.mark.parametrize(
    ("kind", "name"), [("Model", "a" * 60), ("Adapter", "Name"), ("Platform", "9to5"), ("Workflow", "a_b")]
)
def test_a_name_that_is_none_gets_one_message(kind: str, name: str) -> None:
    body = documents.envelope(kind, name, GOOD[kind])
    assert len(ADMISSIONS[kind].refusals(body)) == 1
    with pytest.raises(ValidationError):
        KINDS[kind].model_validate(body)


def test_the_family_of_a_model_is_fixed() -> None:
    old = documents.envelope("Model", "name", ECHO)
    new = documents.envelope("Model", "name", ECHO | {"family": "text_to_image", "tasks": ["text_to_image"]})
    assert ADMISSIONS["Model"].refusals(new) == []
    (message,) = ADMISSIONS["Model"].refusals(new, old=old)
    assert message.startswith("the family is fixed")


def test_kubectl_scale_sets_a_number_where_none_is_set() -> None:
    scaled = documents.envelope("Model", "name", ECHO | {"scaling": {"replicas": 3}})
    assert ADMISSIONS["Model"].refusals(scaled, old=documents.envelope("Model", "name", ECHO)) == []


def test_null_is_as_good_as_nothing_where_pydantic_takes_it() -> None:
    body = documents.envelope("Model", "name", ECHO | {"weights": None, "prices": {"image": None}})
    KINDS["Model"].model_validate(body)
    assert ADMISSIONS["Model"].refusals(body) == []


STRAY: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2,
    1.5,
    10**9,
    "",
    "x",
    "1Gi",
    "Exists",
    "latest",
    "echo",
    "vllm",
    [],
    ["x"],
    {},
    {"x": 1},
]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document below its spec."""
    inner: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.parametrize("kind", BODIES)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@given(data=st.data())
def test_what_the_server_takes_is_a_document(kind: str, data: st.DataObject) -> None:
    body = copy.deepcopy(data.draw(BODIES[kind]))
    *way, last = data.draw(st.sampled_from(list(places(body["spec"]))))
    holder = body["spec"]
    for step in way:
        holder = holder[step]
    if data.draw(st.booleans()):
        holder[last] = data.draw(st.sampled_from(STRAY))
    else:
        del holder[last]
    assert ADMISSIONS[kind].refusals(body) or _is_document(kind, ADMISSIONS[kind].kept(body))


def _is_document(kind: str, body: dict[str, Any]) -> bool:
    try:
        KINDS[kind].model_validate(body)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("text", ["y", "N", "1e3", "0x1F", "on", "2026-12-01", "1_000", "sha256:1e3", "plain"])
def test_a_text_that_we_write_is_read_as_that_text(text: str) -> None:
    assert yaml.load(as_yaml({text: [text]}), _AsGoReads) == {text: [text]}
    assert ('"' in as_yaml(text)) == bool(re.fullmatch("[yN]|1e3|0x1F", text))
