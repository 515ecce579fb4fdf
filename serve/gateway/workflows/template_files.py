"""Workflows to begin with, as documents: one YAML file each, like anyone's. Which can run, the models here decide."""

from functools import cache
from importlib.resources import files

from serve.catalog.manifests import load_documents
from serve.domain.workflow import NodePrefix, WorkflowDocument, WorkflowSpec


@cache
def templates() -> tuple[WorkflowDocument, ...]:
    """All there are, by title."""
    found = [file for file in files("serve.gateway.workflows.templates").iterdir() if file.name.endswith(".yaml")]
    documents = [document for file in found for document in load_documents(file.read_text("utf-8"), file.name)]
    workflows = [document for document in documents if isinstance(document, WorkflowDocument)]
    return tuple(sorted(workflows, key=lambda one: one.spec.title))


def models_of(spec: WorkflowSpec) -> list[str]:
    """The models that its nodes name, sorted."""
    prefix = f"{NodePrefix.MODEL}:"
    return sorted({node.type.removeprefix(prefix) for node in spec.nodes.values() if node.type.startswith(prefix)})
