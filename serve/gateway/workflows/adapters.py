"""Adapters of a workflow's run: what its document and its inputs call them becomes the version that this means now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from serve.catalog.cards import Card
from serve.domain.adapters import MAX_SCALE
from serve.domain.errors import InvalidRequest
from serve.domain.names import TenantName
from serve.domain.port_types import Kind, parse_type
from serve.domain.run import RunAdapter
from serve.domain.workflow import NodeSpec, WorkflowSpec
from serve.gateway.adapter_choices import Chosen
from serve.gateway.addresses import adapter_reference
from serve.gateway.routing import adapters_of
from serve.gateway.workflows.calls import Call, Given
from serve.gateway.workflows.ceilings import key_of
from serve.workflow.adapter_names import name_in
from serve.workflow.compiling.references import INPUT, LITERAL, REF
from serve.workflow.graph import Graph, Node
from serve.workflow.values import digest_of


@dataclass(frozen=True, slots=True)
class Resolved:
    """The adapters of a run's calls. `ids` are those of a call, by `key_of`; `named` is a digest of what was written,
    and what that means; `names` is the same by name, for what stands where nothing can be written."""

    ids: Mapping[str, Sequence[str]]
    named: Mapping[str, RunAdapter]
    names: Mapping[str, RunAdapter]

    def of_run(self) -> tuple[RunAdapter, ...]:
        """Each version once, as the run's row has them."""
        found: dict[str, RunAdapter] = {}
        for adapter in self.named.values():
            found.setdefault(adapter.id, adapter)
        return tuple(found.values())

    def of_inputs(self, graph: Graph, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """`inputs` with ids for names. Adapters that nothing asks for are left out."""
        kinds = {name: parse_type(one.type).kind for name, one in graph.inputs.items()}
        found = {name: value for name, value in inputs.items() if kinds[name] is not Kind.ADAPTER}
        for name in inputs.keys() - found.keys():
            value = self._written(inputs[name])
            listed = value if isinstance(value, list) else [value]
            if all(isinstance(one, dict) and "id" in one for one in listed):
                found[name] = value
        return found

    def written_into(self, spec: WorkflowSpec, graph: Graph) -> WorkflowSpec:
        """The document with ids for the names that stand in it."""
        if not self.named:
            return spec
        nodes = {name: self._node(node, graph.nodes.get(name)) for name, node in spec.nodes.items()}
        return spec.model_copy(update={"nodes": nodes})

    def _node(self, node: NodeSpec, compiled: Node | None) -> NodeSpec:
        ports = {} if compiled is None else compiled.ports
        names = [name for name in node.inputs if name in ports and ports[name].type.kind is Kind.ADAPTER]
        if not names:
            return node
        return node.model_copy(
            update={"inputs": node.inputs | {name: self._written(node.inputs[name]) for name in names}}
        )

    def _written(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._written(one) for one in value]
        if isinstance(value, dict) and (REF in value or INPUT in value):
            return value
        if isinstance(value, dict) and LITERAL in value:
            return {LITERAL: self._written(value[LITERAL])}
        known = self.named.get(digest_of(value))
        return value if known is None else {"id": known.id, "scale": known.scale}


async def resolved_adapters(
    request: Request, tenant: TenantName, calls: Iterable[Call], cards: Mapping[str, Card]
) -> Resolved:
    """What the adapters of `calls` mean now.

    Raises:
        InvalidRequest, NotFound, Unprocessable: as `AdapterLookup.uses`, with the field that names the adapter.
    """
    ids: dict[str, Sequence[str]] = {}
    named: dict[str, RunAdapter] = {}
    names: dict[str, RunAdapter] = {}
    for call in calls:
        written, key = call.adapters(), key_of(call)
        if not written or key in ids:
            continue
        wanted = [_chosen(one) for one in written]
        found = await adapters_of(request).run_adapters(tenant, cards[call.model], wanted)
        ids[key] = [adapter.id for adapter in found]
        for one, adapter in zip(written, found, strict=True):
            named[digest_of(one.value)] = adapter
            name, scale = name_in(one.value)
            if name is not None and (scale is None or name not in names):
                names[name] = adapter
    return Resolved(ids, named, names)


def _chosen(given: Given) -> Chosen:
    """`name`, `tenant/name[@sha256:...]`, {"name", "scale"}, or {"id", "scale"}."""
    value, param = given.value, given.origin
    scale = None
    if isinstance(value, dict):
        name, scale = value.get("name", value.get("id")), value.get("scale")
    else:
        name = value
    is_scale = scale is None or (isinstance(scale, int | float) and not isinstance(scale, bool))
    if not isinstance(name, str) or not is_scale or abs(scale or 0) > MAX_SCALE:
        told = f'{param} must be an adapter: a name, or {{"name": ..., "scale": ...}} with a scale up to {MAX_SCALE:g}.'
        raise InvalidRequest(told, "invalid_adapter", param)
    return Chosen(adapter_reference(name, param), None if scale is None else float(scale), param)
