"""The OpenAPI document of a workflow: valid for every kind of input, with examples that the API takes."""

from typing import Any

import pytest
from fakes.workflows import EMBEDDER, LANGUAGE, PAINTER, known, ref, workflow
from fakes.workflows import given as of
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from serve.domain.port_types import Kind
from serve.domain.workflow import WorkflowSpec
from serve.gateway.workflows.openapi_of import document_of
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.interface import check_inputs


def document(spec: WorkflowSpec) -> dict[str, Any]:
    compiled = compile_workflow(spec, known())
    assert compiled.graph is not None, compiled.problems
    return document_of("banner@3", spec, compiled.graph)


def every_kind() -> WorkflowSpec:
    """A workflow with an input of every type, and lists of them."""
    inputs: dict[str, Any] = {kind.value: {"type": kind.value} for kind in Kind}
    inputs |= {f"{kind}s": {"type": f"list[{kind}]", "optional": True} for kind in Kind}
    inputs["number"] |= {"constraints": {"minimum": 3, "maximum": 9, "integer": True}, "description": "How many."}
    inputs["text"] |= {"constraints": {"enum": ["red", "blue"]}}
    nodes = {"say": {"type": f"model:{LANGUAGE}", "inputs": {"prompt": "x"}}}
    return workflow(nodes, {"answer": ("say", "text")}, inputs, title="Everything")


def banner() -> WorkflowSpec:
    nodes = {
        "say": {"type": f"model:{LANGUAGE}", "inputs": {"prompt": of("prompt")}},
        "gen": {"type": f"model:{PAINTER}", "inputs": {"prompt": ref("say", "text"), "steps": of("steps")}},
        "vector": {"type": f"model:{EMBEDDER}", "inputs": {"input": ref("say", "text")}},
    }
    outputs = {
        "picture": ("gen", "image"),
        "pictures": ("gen", "images"),
        "said": ("say", "text"),
        "json": ("say", "json"),
        "vector": ("vector", "embedding"),
        "seed": ("gen", "seed"),
    }
    inputs = {"prompt": {"type": "text", "default": "a kite"}, "steps": {"type": "number", "optional": True}}
    return workflow(nodes, outputs, inputs)


@pytest.mark.parametrize("spec", [every_kind(), banner()], ids=["every kind of input", "many outputs"])
def test_the_document_is_valid_and_its_examples_are_taken(spec: WorkflowSpec) -> None:
    made = document(spec)
    validate(made)
    content = made["paths"]["/v1/workflows/banner@3/runs"]["post"]["requestBody"]["content"]
    example = content["application/json"]["examples"]["one"]["value"]["input"]
    assert check_inputs(spec.interface.inputs, example) == example
    schemas = made["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    Draft202012Validator(schemas["Inputs"]).validate(example)


def test_bounds_words_and_names_are_those_of_the_interface() -> None:
    made = document(every_kind())
    inputs = made["components"]["schemas"]["Inputs"]
    assert inputs["properties"]["number"]["maximum"] == 9
    assert inputs["properties"]["number"]["description"] == "How many."
    assert set(inputs["required"]) == {kind.value for kind in Kind}
    assert (made["info"]["title"], made["info"]["version"]) == ("Everything", "3")
    assert made["paths"]["/v1/workflows/banner@3/runs"]["post"]["operationId"] == "run_banner"


def test_every_reference_leads_somewhere() -> None:
    made = document(banner())
    refs = set(_refs(made))
    assert refs
    for one in refs:
        place: Any = made
        for word in one.removeprefix("#/").split("/"):
            place = place[word]


def test_pictures_of_a_form_are_files() -> None:
    properties = document(every_kind())["components"]["schemas"]["Form"]["properties"]
    assert properties["image"]["contentMediaType"] == "application/octet-stream"
    assert properties["masks"]["items"]["type"] == "string"
    assert "_options" in properties


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for inner in value.values() for found in _refs(inner)]
    return [found for inner in value for found in _refs(inner)] if isinstance(value, list) else []


def test_every_reference_is_to_a_component_as_generators_follow_no_others() -> None:
    schemas = document(every_kind())["components"]["schemas"]

    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
            return own + [found for one in value.values() for found in references(one)]
        return [found for one in value for found in references(one)] if isinstance(value, list) else []

    assert set(references(document(every_kind()))) <= {f"#/components/schemas/{name}" for name in schemas}
