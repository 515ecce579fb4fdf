"""What is sent and asked of workflows."""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, JsonValue

from serve.domain.documents import API_VERSION
from serve.domain.moments import at
from serve.domain.names import Name
from serve.domain.workflow import WorkflowSpec
from serve.gateway.views import Body, Timestamp
from serve.gateway.workflows.problem_answers import Told
from serve.workflow.library.stored_workflows import StoredAlias, StoredVersion, StoredWorkflow


class ProblemView(BaseModel):
    """What is wrong with a workflow, or worth a look (`warning`). `node` is null where it is about the document."""

    node: str | None
    field: str | None
    code: str
    message: str
    severity: Literal["error", "warning"]


class WorkflowView(BaseModel):
    """A workflow. `revision` is of its draft: a save names the one that it changes. `latest` is the highest version,
    null before the first; `updated_by` is the key or the person who saved the draft."""

    name: str
    object: Literal["workflow"] = "workflow"
    title: str
    latest: int | None
    aliases: dict[str, int]
    revision: str
    managed_by: str
    created_at: Timestamp
    updated_at: Timestamp
    updated_by: str


class SavedDraftView(WorkflowView):
    """A draft that was saved, with what is wrong with it."""

    problems: list[ProblemView]


class DraftView(SavedDraftView):
    """A draft. `is_published`: the latest version says all that it does, wherever its nodes are drawn."""

    workflow: dict[str, JsonValue]
    is_published: bool


class CheckedView(BaseModel):
    """What a check found. `inputs` and `outputs` are the JSON Schemas of what it is called with and answers, null where
    it cannot run; `num_steps` are the nodes that a run may have at the most, nested ones and items included."""

    is_valid: bool
    problems: list[ProblemView]
    digest: str | None = None
    num_steps: int | None = None
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None


class TemplateView(BaseModel):
    """A workflow to begin with. `models` are those that it names, `missing` those of them that the caller has not."""

    name: str
    object: Literal["workflow_template"] = "workflow_template"
    title: str
    description: str
    tags: list[str]
    models: list[str]
    missing: list[str]
    workflow: dict[str, JsonValue]


class PublishBody(Body):
    """What to say of a version, and which aliases are to mean it from now on."""

    note: str = Field(default="", max_length=400)
    aliases: list[Name] = Field(default_factory=list, max_length=16)


class VersionView(BaseModel):
    """A version: it never changes. `digest` is of the whole document; `address` is how runs and nodes name it."""

    name: str
    object: Literal["workflow_version"] = "workflow_version"
    version: int
    address: str
    digest: str
    note: str
    aliases: list[str]
    created_at: Timestamp
    created_by: str


class VersionDetailView(VersionView):
    """A version with its document, and the JSON Schemas of its inputs and outputs, which are null where a model or an
    operation that it needs is there no longer: `problems` say which."""

    workflow: dict[str, JsonValue]
    inputs: dict[str, Any] | None
    outputs: dict[str, Any] | None
    problems: list[ProblemView]


class AliasBody(Body):
    """The version that an alias is to mean."""

    version: int = Field(ge=1)


class RollbackBody(Body):
    """`current`, where it is given, is the version that the alias is seen to mean: if it has moved, nothing happens."""

    current: int | None = Field(default=None, ge=1)


class AliasView(BaseModel):
    """An alias. `previous` is the version that a rollback leads to."""

    alias: str
    object: Literal["workflow_alias"] = "workflow_alias"
    version: int
    previous: int | None
    updated_at: Timestamp
    updated_by: str


class DifferenceView(BaseModel):
    """One difference, by node and field; `before` and `after` are null where there was, or is, nothing."""

    kind: str
    node: str | None
    field: str | None
    before: JsonValue
    after: JsonValue
    message: str


class DifferencesView(BaseModel):
    """How one state of a workflow differs from another. `is_same`: both do the same, whatever is said of them."""

    from_: Annotated[str, Field(serialization_alias="from")]
    to: str
    is_same: bool
    differences: list[DifferenceView]


def plain_workflow_document(name: str, spec: WorkflowSpec) -> dict[str, Any]:
    """The document to keep, and to apply."""
    return {"apiVersion": API_VERSION, "kind": "Workflow", "metadata": {"name": name}, "spec": spec.written()}


def workflow_view(workflow: StoredWorkflow) -> WorkflowView:
    """A workflow, to be seen."""
    return WorkflowView(**_fields(workflow))


def saved_view(workflow: StoredWorkflow, problems: Iterable[Told]) -> SavedDraftView:
    """A draft that was saved."""
    return SavedDraftView(**_fields(workflow), problems=problem_views(problems))


def draft_view(workflow: StoredWorkflow, spec: WorkflowSpec, problems: Iterable[Told], is_published: bool) -> DraftView:
    """A draft."""
    shown = problem_views(problems)
    return DraftView(**_fields(workflow), problems=shown, workflow=spec.written(), is_published=is_published)


def problem_views(problems: Iterable[Told]) -> list[ProblemView]:
    """Problems, to be seen."""
    return [ProblemView.model_validate(problem) for problem in problems]


def version_fields(version: StoredVersion, aliases: Mapping[str, int]) -> dict[str, Any]:
    """The fields of a version's view."""
    return {
        "name": version.name,
        "version": version.version,
        "address": version.address,
        "digest": version.digest,
        "note": version.note,
        "aliases": [alias for alias, number in aliases.items() if number == version.version],
        "created_at": at(version.created_ms),
        "created_by": version.created_by,
    }


def alias_view(alias: StoredAlias) -> AliasView:
    """An alias, to be seen."""
    return AliasView(
        alias=alias.alias,
        version=alias.version,
        previous=alias.previous,
        updated_at=at(alias.updated_ms),
        updated_by=alias.updated_by,
    )


def _fields(workflow: StoredWorkflow) -> dict[str, Any]:
    return {
        "name": workflow.name,
        "title": workflow.title,
        "latest": workflow.latest,
        "aliases": dict(workflow.aliases),
        "revision": workflow.revision,
        "managed_by": workflow.managed_by,
        "created_at": at(workflow.created_ms),
        "updated_at": at(workflow.updated_ms),
        "updated_by": workflow.updated_by,
    }


def template_view(name: str, spec: WorkflowSpec, models: list[str], known: Collection[str]) -> TemplateView:
    """A template for a caller that has the models `known`."""
    return TemplateView(
        name=name,
        title=spec.title,
        description=spec.description,
        tags=spec.tags,
        models=models,
        missing=[model for model in models if model not in known],
        workflow=spec.written(),
    )
