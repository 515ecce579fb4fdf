"""Workflows to begin with: each can run on the models that it names, and says which of them are missing."""

from pathlib import Path

import pytest
from fakes.gateway import gateway
from fakes.images import studio
from fakes.workflows import known

from serve.domain.workflow import WorkflowDocument
from serve.gateway.workflows.template_files import models_of, templates
from serve.workflow.compiling.compiling import compile_workflow

TEMPLATES = {one.name: one for one in templates()}
PATH = "/v1/workflow-templates"


def test_prompt_to_banner_is_one_of_several() -> None:
    assert "prompt-to-banner" in TEMPLATES
    assert len(TEMPLATES) == len(templates()) >= 4


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_has_no_problem_is_explained_and_is_drawn(template: WorkflowDocument) -> None:
    spec = template.spec
    compiled = compile_workflow(spec, known(), for_draft=True)
    assert compiled.problems == []
    assert spec.title
    assert spec.description
    assert all(port.title and port.description for port in (*spec.interface.inputs, *spec.interface.outputs))
    assert [output.primary for output in spec.interface.outputs].count(True) == 1
    assert spec.layout.nodes.keys() == spec.nodes.keys()


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_what_a_template_makes_comes_from_the_cache_when_it_runs_again(template: WorkflowDocument) -> None:
    painting = [node for node in template.spec.nodes.values() if node.type.startswith("model:")]
    assert painting
    assert all("seed" in node.inputs for node in painting)


async def test_a_template_says_which_of_its_models_are_missing(tmp_path: Path) -> None:
    async with gateway(tmp_path) as made, made.client() as client:
        found = {one["name"]: one for one in (await client.get(PATH)).json()["data"]}
    banner = found["prompt-to-banner"]
    assert banner["models"] == ["shapes-sd", "smollm2-135m-instruct"]
    assert set(banner["missing"]) <= set(banner["models"])
    assert banner["workflow"]["nodes"]["widen"]["type"] == "model:shapes-sd"


async def test_a_template_is_saved_as_it_is_answered(tmp_path: Path) -> None:
    async with studio(tmp_path) as drawn, drawn.made.client() as client:
        data = (await client.get(PATH)).json()["data"]
        saved = await client.put("/v1/workflows/mine/draft", json=data[0]["workflow"])
    assert saved.status_code == 201


def test_models_are_those_of_the_nodes_each_once() -> None:
    assert models_of(TEMPLATES["prompt-to-banner"].spec) == ["shapes-sd", "smollm2-135m-instruct"]
