"""What is wrong with the documents of a namespace, beyond what each can know of itself."""

from collections.abc import Iterator

from operators.desired.model_checks import ModelChecks
from operators.desired.platform_checks import platform_problems
from operators.state import ObjectKey, Problem, World
from serve.domain.documents import API_VERSION, AdapterDocument, ModelDocument


def problems(world: World) -> tuple[Problem, ...]:
    """Every problem; equal documents give equal problems, whatever their order."""
    found = [*_invalid(world), *_other_platforms(world), *_models(world), *_adapters(world)]
    if world.platform is not None:
        found += platform_problems(world.platform.document, world.live.known_kinds, world.models)
    return tuple(sorted(set(found), key=lambda each: (each.key.kind, each.key.name, each.reason, each.message)))


def _invalid(world: World) -> Iterator[Problem]:
    for resource in world.invalid:
        yield Problem(ObjectKey.of(resource.manifest), "InvalidDocument", resource.message)


def _other_platforms(world: World) -> Iterator[Problem]:
    first = world.platform.name if world.platform else "another"
    for other in world.other_platforms:
        yield Problem(
            ObjectKey(API_VERSION, "Platform", other.name),
            "AnotherPlatform",
            f"A namespace has one Platform, and {first} is older. Delete this one, or move it to its own namespace.",
        )


def _models(world: World) -> Iterator[Problem]:
    checks = ModelChecks(world.platform.document) if world.platform else None
    for model in world.models:
        key = ObjectKey(API_VERSION, "Model", model.name)
        if checks is None:
            yield Problem(key, "NoPlatform", "This namespace has no Platform to serve it: apply one.")
        else:
            yield from checks.of(key, model.document)


def _adapters(world: World) -> Iterator[Problem]:
    bases = {model.name: model.document for model in world.models if not model.is_deleting}
    checks = ModelChecks(world.platform.document) if world.platform else None
    for adapter in world.adapters:
        key, uri = ObjectKey(API_VERSION, "Adapter", adapter.name), adapter.document.spec.weights.uri
        yield from _adapter(key, adapter.document, bases)
        if checks is not None and uri.startswith("s3://"):
            yield from checks.bucket(key, uri)


def _adapter(key: ObjectKey, adapter: AdapterDocument, bases: dict[str, ModelDocument]) -> Iterator[Problem]:
    base = adapter.spec.base
    if base is None:
        return
    if base not in bases:
        known = ", ".join(sorted(name for name, model in bases.items() if model.spec.adapters.enabled)[:8])
        yield Problem(
            key,
            "UnknownBase",
            f"spec.base: no Model {base} is in this namespace. Apply it, or name one of: {known or 'none takes any'}.",
        )
    elif not bases[base].spec.adapters.enabled:
        yield Problem(
            key, "AdaptersOff", f"spec.base: {base} takes no adapters. Set spec.adapters.enabled of that Model to true."
        )
