"""The samples, against the cards of the built-in models: they can run, and are fit to be shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.workflows import known

from serve.catalog.builtin import builtin_adapters
from serve.catalog.manifests import load_documents
from serve.domain.documents import AdapterDocument, ModelDocument
from serve.domain.kinds import KINDS
from serve.domain.platform import PlatformDocument
from serve.domain.workflow import WorkflowDocument, WorkflowSpec
from serve.workflow.compiling.compiling import compile_workflow
from serve.workflow.facts import PublishedWorkflow
from serve.workflow.graph import Composite, OfNode, Source

FOLDER = Path(__file__).parents[2] / "k8s/samples"
FILES = sorted(FOLDER.glob("*.yaml"))
DOCUMENTS = [document for file in FILES for document in load_documents(file.read_text("utf-8"), file.name)]
WORKFLOWS = [document for document in DOCUMENTS if isinstance(document, WorkflowDocument)]
NAMED = {document.name: document.spec for document in WORKFLOWS}
PUBLISHED = {f"{name}@latest": PublishedWorkflow(name, 1, spec) for name, spec in NAMED.items()}


def references(source: Source) -> Iterator[str]:
    """The nodes that an input goes back to."""
    parts = [part for _, part in source.parts] if isinstance(source, Composite) else [source]
    return (part.node for part in parts if isinstance(part, OfNode))


def test_there_is_a_sample_of_every_kind_and_five_workflows() -> None:
    files = {"outpainted-banner", "improved-prompt", "style-grid", "product-shot", "cascade"}
    others = {"platform", "model-chat", "model-images", "model-echo", "adapter-style"}
    assert {file.stem for file in FILES} == files | others
    assert files <= NAMED.keys()
    assert {document.kind for document in DOCUMENTS} == KINDS.keys()


def test_the_models_fit_the_pools_of_the_platform_and_the_adapter_its_model() -> None:
    (platform,) = [document for document in DOCUMENTS if isinstance(document, PlatformDocument)]
    models = {document.name: document.spec for document in DOCUMENTS if isinstance(document, ModelDocument)}
    for spec in models.values():
        pool = platform.spec.pool(spec.placement.pool)
        assert pool is not None
        assert spec.placement.gpus <= pool.gpus_per_node
    for adapter in (document for document in DOCUMENTS if isinstance(document, AdapterDocument)):
        assert adapter.spec.base is not None
        assert models[adapter.spec.base].adapters.enabled


def test_no_sample_takes_weights_from_a_package() -> None:
    assert not any("wheel://" in file.read_text("utf-8") for file in FILES)


@pytest.mark.parametrize("name", NAMED)
def test_a_sample_has_no_problem_and_no_warning(name: str) -> None:
    compiled = compile_workflow(NAMED[name], known(PUBLISHED), for_draft=True)
    assert compiled.problems == []
    assert compiled.graph is not None


@pytest.mark.parametrize("name", NAMED)
def test_a_sample_is_drawn_from_left_to_right(name: str) -> None:
    places = NAMED[name].layout.nodes
    graph = compile_workflow(NAMED[name], known(PUBLISHED), for_draft=True).graph
    assert graph is not None
    assert places.keys() == graph.nodes.keys()
    for node in graph.nodes.values():
        before = {other for source in node.inputs.values() for other in references(source)}
        assert all(places[other].x < places[node.name].x for other in before), node.name
    assert len({(place.x, place.y) for place in places.values()}) == len(places)


@pytest.mark.parametrize("spec", NAMED.values(), ids=NAMED)
def test_a_sample_says_what_it_is_and_what_its_inputs_and_outputs_are(spec: WorkflowSpec) -> None:
    assert spec.title
    assert spec.description
    for port in (*spec.interface.inputs, *spec.interface.outputs):
        assert port.title, port.name
        assert port.description, port.name
    assert [output.primary for output in spec.interface.outputs].count(True) == 1


@pytest.mark.parametrize("spec", NAMED.values(), ids=NAMED)
def test_a_sample_runs_without_a_word_unless_it_needs_a_picture(spec: WorkflowSpec) -> None:
    assert all(one.type == "image" for one in spec.interface.inputs if one.is_required)


def test_the_styles_of_the_grid_are_adapters_that_ship_with_the_model() -> None:
    (styles,) = [one.default for one in NAMED["style-grid"].interface.inputs if one.name == "styles"]
    assert isinstance(styles, list)
    assert len(styles) == 4
    assert set(styles) <= {adapter.name for adapter in builtin_adapters("shapes-sd")}
