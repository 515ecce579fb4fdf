"""Documents -> resources: a Model for each model that was applied over HTTP.

The Ray cluster is made from resources, so such a model is served because of its resource, and goes with it. The
platform remains its author: what is edited here is set back, and who edits is told where to change it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from operators.state import (
    ANNOTATION_MANAGED_BY,
    Action,
    Catalogue,
    Manifest,
    ObjectKey,
    Resource,
    StoredDocument,
    Verb,
    World,
)
from operators.syncing.documents import API, is_of_api
from serve.domain.documents import API_VERSION, ModelDocument
from serve.domain.platform import PlatformDocument


def api_models(world: World, catalogue: Catalogue) -> tuple[Action, ...]:
    """Writes to Models that stand for documents applied over HTTP. None while the platform does not answer."""
    if not catalogue.is_answering or world.platform is None:
        return ()
    stored = {name: one for name, one in catalogue.models.items() if one.managed_by == API}
    return (*_kept(world, world.platform, stored), *_gone(world, stored))


def _kept(world: World, platform: Resource[PlatformDocument], stored: Mapping[str, StoredDocument]) -> Iterator[Action]:
    valid = {model.name: model for model in world.models}
    invalid = {one.manifest["metadata"]["name"]: one.manifest for one in world.invalid if _is_model(one.manifest)}
    for name, document in sorted(stored.items()):
        if name in invalid:
            yield _set_back(name, document, invalid[name].get("spec") or {})
        elif name not in valid:
            told = f"The model {name} was applied over HTTP; this resource stands for it."
            yield Action(Verb.APPLY, key_of(name), told, manifest_of(name, document, platform), "AppliedOverHttp")
        elif not valid[name].is_deleting and not _stands_for(valid[name], document):
            yield _brought_back(valid[name], document)


def _brought_back(model: Resource[ModelDocument], document: StoredDocument) -> Action:
    """A resource whose document is another than the platform's. What can never change makes it another resource, which
    the next pass makes."""
    if model.document.spec.family != document.body["spec"]["family"]:
        told = f"The model {model.name} was applied anew over HTTP, of another family."
        return Action(Verb.DELETE, key_of(model.name), told, event="DeletedOverHttp", uid=model.uid)
    return _set_back(model.name, document, _written(model.document))


def _gone(world: World, stored: Mapping[str, StoredDocument]) -> Iterator[Action]:
    for model in sorted(world.models, key=lambda one: one.name):
        if is_of_api(model) and model.name not in stored and not model.is_deleting:
            told = f"The model {model.name} was deleted over HTTP."
            yield Action(Verb.DELETE, key_of(model.name), told, event="DeletedOverHttp", uid=model.uid)


def key_of(name: str) -> ObjectKey:
    """The key of a Model."""
    return ObjectKey(API_VERSION, "Model", name)


def manifest_of(name: str, document: StoredDocument, platform: Resource[PlatformDocument]) -> Manifest:
    """The resource that stands for a document. It goes with the Platform, whose database it is read from."""
    owner = {
        "apiVersion": API_VERSION,
        "kind": "Platform",
        "name": platform.name,
        "uid": platform.uid,
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": name, "annotations": {ANNOTATION_MANAGED_BY: API}, "ownerReferences": [owner]},
        "spec": document.body["spec"],
    }


def _is_model(manifest: Manifest) -> bool:
    return manifest.get("kind") == "Model"


def _stands_for(model: Resource[ModelDocument], document: StoredDocument) -> bool:
    return is_of_api(model) and model.document.digest() == document.digest


def _written(document: ModelDocument) -> dict[str, Any]:
    spec: dict[str, Any] = document.model_dump(mode="json", by_alias=True, exclude_unset=True)["spec"]
    return spec


def _set_back(name: str, document: StoredDocument, live: Mapping[str, Any]) -> Action:
    told = (
        f"The model {name} was applied over HTTP, and what is edited here is set back. Change it with `slipway apply`; "
        f"to manage it here, first delete it with `slipway delete model {name}`."
    )
    body: Manifest = {"metadata": {"annotations": {ANNOTATION_MANAGED_BY: API}}}
    if patch := merge_patch(live, document.body["spec"]):
        body["spec"] = patch
    return Action(Verb.PATCH, key_of(name), told, body, "SetBack")


def merge_patch(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch (RFC 7386) that makes `wanted` of `live`: null for what is too much."""
    patch: dict[str, Any] = {key: None for key in live.keys() - wanted.keys()}
    for key, value in wanted.items():
        before = live.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            if inner := merge_patch(before, value):
                patch[key] = inner
        elif before != value or key not in live:
            patch[key] = value
    return patch
