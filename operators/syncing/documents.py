"""Resources -> documents: what the platform must be told."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from operators.state import (
    ANNOTATION_MANAGED_BY,
    ApiAction,
    Catalogue,
    InvalidResource,
    Problem,
    Refusal,
    Resource,
    StoredDocument,
    Verb,
    World,
)
from serve.domain.documents import Document

API = "api"
KUBERNETES = "kubernetes"


def sync(
    world: World, catalogue: Catalogue, refusals: Collection[Refusal], problems: Iterable[Problem] = ()
) -> tuple[ApiAction, ...]:
    """What to write to the platform, in order: models first, since adapters are checked against them; workflows, which
    name both, last; then what has no resource any more, in the opposite order.

    A document in `refusals` is not sent again: whoever keeps them forgets one when it is time for another try. One with
    a fatal problem is not sent, and what the platform has of it stays. Of what does not answer nothing is asked.
    """
    if not catalogue.is_answering:
        return ()
    refused = {(refusal.kind, refusal.name, refusal.digest) for refusal in refusals}
    unfit = {(problem.key.kind, problem.key.name) for problem in problems if problem.is_fatal}
    models = [model for model in world.models if not _is_set_back(model, catalogue.models.get(model.name))]
    kinds: Sequence[tuple[str, Sequence[Resource[Document]], Mapping[str, StoredDocument]]] = (
        ("Model", _documents(models), catalogue.models),
        ("Adapter", _documents(world.adapters), catalogue.adapters),
        ("Workflow", _documents(world.workflows), catalogue.workflows),
    )
    applied = (
        _applied([one for one in resources if (kind, one.name) not in unfit], stored, refused)
        for kind, resources, stored in kinds
    )
    deleted = (_deleted(kind, resources, stored, world.invalid, refused) for kind, resources, stored in reversed(kinds))
    return tuple(action for actions in (*applied, *deleted) for action in actions)


def is_of_api(resource: Resource[Document]) -> bool:
    """Whether a resource stands for a document that was applied over HTTP."""
    return resource.annotations.get(ANNOTATION_MANAGED_BY) == API


def _is_set_back(model: Resource[Document], stored: StoredDocument | None) -> bool:
    """Whether `syncing.api_models` sees to it."""
    return is_of_api(model) or (stored is not None and stored.managed_by == API)


def is_stored(resource: Resource[Document], stored: StoredDocument | None) -> bool:
    """Whether the platform has this very document, and from us."""
    return stored is not None and stored.managed_by == KUBERNETES and stored.digest == resource.document.digest()


def _documents(resources: Iterable[Resource[Document]]) -> list[Resource[Document]]:
    """Those that are there, by name. One that waits for somebody's finalizer is gone for us."""
    return sorted((one for one in resources if not one.is_deleting), key=lambda one: one.name)


def _applied(
    resources: Iterable[Resource[Document]],
    stored: Mapping[str, StoredDocument],
    refused: Collection[tuple[str, str, str]],
) -> list[ApiAction]:
    return [
        ApiAction(Verb.APPLY, one.document.kind, one.name, _why(stored.get(one.name)), one.document)
        for one in resources
        if not is_stored(one, stored.get(one.name))
        and (one.document.kind, one.name, one.document.digest()) not in refused
    ]


def _why(stored: StoredDocument | None) -> str:
    if stored is None:
        return "The platform does not have it yet."
    if stored.managed_by != KUBERNETES:
        return f"What the platform has of that name is managed by {stored.managed_by}."
    return "The resource has changed."


def _deleted(
    kind: str,
    resources: Iterable[Resource[Document]],
    stored: Mapping[str, StoredDocument],
    invalid: Iterable[InvalidResource],
    refused: Collection[tuple[str, str, str]],
) -> list[ApiAction]:
    """What we manage and no resource says. One that cannot be read is there all the same: what it said last stays."""
    present = {resource.name for resource in resources}
    present |= {one.manifest["metadata"]["name"] for one in invalid if one.manifest.get("kind") == kind}
    return [
        ApiAction(Verb.DELETE, kind, name, "Its resource is gone.")
        for name in sorted(stored)
        if stored[name].managed_by == KUBERNETES and name not in present and (kind, name, "") not in refused
    ]
