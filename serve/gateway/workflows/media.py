"""Pictures, sound and films that a workflow's run is given: read and checked by the same means as a model's pictures.

Pictures may be sent in any way; sound and films are assets of the caller's. What a document names itself must be there,
and the tenant's own, before its run begins.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.images import ASSET_SCHEME
from serve.domain.names import AssetId, TenantName
from serve.domain.port_types import Kind, PortType, parse_type
from serve.domain.workflow import MAX_ITEMS
from serve.gateway.body_budget import HeldBytes
from serve.gateway.image_inputs import ImageInputs, Picture
from serve.gateway.services import Services
from serve.gateway.workflows.calls import needed
from serve.workflow.graph import Composite, Graph, Literal, Node

MAX_FILES = MAX_ITEMS
"""That the inputs of one run are or name: each is decoded whole before the run is let in."""
_PICTURES = frozenset({Kind.IMAGE, Kind.MASK})
Found = dict[str, tuple[Kind, str | bytes]]
"""What is to be read, by the path of its field: `photo`, `photos.0`."""


def without_bytes(graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """`inputs` with something short for each picture, which may have megabytes."""
    return {
        name: _short(value) if name in graph.inputs and parse_type(graph.inputs[name].type).kind.is_media else value
        for name, value in inputs.items()
    }


def _short(value: Any) -> Any:
    return [_short(one) for one in value] if isinstance(value, list) else f"{ASSET_SCHEME}input"


def sources(graph: Graph, inputs: Mapping[str, Any], file_at: Callable[[str], bytes | None]) -> Found:
    """What is to be read of `inputs`: what names it, or its bytes. Raises InvalidRequest: they are too many."""
    found: Found = {}
    for name, value in inputs.items():
        wanted = parse_type(graph.inputs[name].type)
        if not wanted.kind.is_media or value is None:
            continue
        listed = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, one in listed:
            path = name if index is None else f"{name}.{index}"
            data = file_at(path)
            found[path] = wanted.kind, one if data is None else data
    if len(found) > MAX_FILES:
        told = f"A run is given at most {MAX_FILES} pictures and other files, and these are {len(found)}."
        raise InvalidRequest(told, "too_many_values", next(reversed(found)).partition(".")[0])
    return found


async def read(
    services: Services, image_inputs: ImageInputs, held: HeldBytes, tenant: TenantName, found: Found
) -> list[Picture]:
    """The pictures of `found`, each checked whole; other media are looked for.

    Raises:
        InvalidRequest, NotFound, Overloaded: as `ImageInputs.read`, with the field.
    """
    others = [(path, kind, source) for path, (kind, source) in found.items() if kind not in _PICTURES]
    await _check_assets(services, tenant, others)
    pictures: list[Picture] = []
    known: dict[str, Picture] = {}
    for path, (kind, source) in found.items():
        if kind in _PICTURES:
            same = known.get(source) if isinstance(source, str) else None
            picture = replace(same, field=path) if same else await image_inputs.picture(held, tenant, path, source)
            pictures.append(picture)
            if isinstance(source, str) and picture.asset_id is not None:
                known[source] = picture
    return pictures


def placed(inputs: Mapping[str, Any], stored: Mapping[str, str]) -> dict[str, Any]:
    """`inputs` with what was stored in its places."""
    found = {name: list(value) if isinstance(value, list) else value for name, value in inputs.items()}
    for path, asset in stored.items():
        name, _, index = path.partition(".")
        if index:
            found[name][int(index)] = asset
        else:
            found[name] = asset
    return found


async def check_written(services: Services, tenant: TenantName, graph: Graph) -> None:
    """Whether the assets that the document names are there. Raises NotFound (`asset_not_found`), InvalidRequest."""
    await _check_assets(services, tenant, list(_written(graph, [end.node for end in graph.outputs.values()], "")))


def named(graph: Graph, inputs: Mapping[str, Any]) -> set[AssetId]:
    """The assets that the inputs and the document name."""
    texts = [text for _, (_, text) in sources(graph, inputs, lambda _: None).items()]
    texts += [text for _, _, text in _written(graph, [end.node for end in graph.outputs.values()], "")]
    return {
        AssetId(text.removeprefix(ASSET_SCHEME))
        for text in texts
        if isinstance(text, str) and text.startswith(ASSET_SCHEME)
    }


def _written(graph: Graph, ends: Iterable[str], path: str) -> Iterator[tuple[str, Kind, Any]]:
    for node in needed(graph, ends):
        place = f"{path}nodes.{node.name}"
        for name, wanted in _media_ports(node):
            for value in _literals(node.inputs[name]):
                yield f"{place}.inputs.{name}", wanted.kind, value
        if node.graph is not None:
            yield from _written(node.graph, [end.node for end in node.graph.outputs.values()], f"{place}/")


def _media_ports(node: Node) -> Iterator[tuple[str, PortType]]:
    for name in node.inputs:
        port = node.ports.get(name)
        if port is not None and port.type.kind.is_media:
            yield name, port.type


def _literals(source: Any) -> Iterator[Any]:
    """Those that stand in a source of media; places of references are None."""
    value = source.value if isinstance(source, Literal) else source.template if isinstance(source, Composite) else None
    for one in value if isinstance(value, list) else [value]:
        if one is not None:
            yield one


async def _check_assets(services: Services, tenant: TenantName, named: Sequence[tuple[str, Kind, Any]]) -> None:
    """All at once: a document has room for thousands."""
    for path, _, source in named:
        if not isinstance(source, str) or not source.startswith(ASSET_SCHEME):
            raise InvalidRequest(f"{path} must be asset:<id>. POST /v1/assets takes the file.", "invalid_value", path)
    known = await services.assets.assets(tenant, {source.removeprefix(ASSET_SCHEME) for _, _, source in named})
    for path, kind, source in named:
        asset = known.get(source.removeprefix(ASSET_SCHEME))
        if asset is None:
            raise NotFound(f"{path}: there is no such asset.", "asset_not_found", path)
        family = "image" if kind in _PICTURES else kind.value
        if not asset.media_type.startswith(f"{family}/"):
            told = f"{path} must be {family}, and that asset is {asset.media_type}."
            raise InvalidRequest(told, "invalid_value", path)
