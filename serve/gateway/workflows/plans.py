"""What a run of a workflow would do, before it does it: what is there already, what would run, how long, for how much.

The plan is the one that a run makes (`serve.workflow.execution.planning`), its bounds are those that admission holds,
and what is to be expected goes by how long such steps took lately and what the tenant's own consumed. Nothing is held
or stored.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from starlette.requests import Request

from serve.domain.images import ASSET_SCHEME
from serve.domain.media import Asset
from serve.domain.modality import Modality
from serve.domain.names import AssetId, TenantName
from serve.domain.run import WorkflowTerms
from serve.domain.task import TASKS
from serve.domain.usage import UNITS, Quantities
from serve.gateway.access import caller_of
from serve.gateway.body_budget import held_by
from serve.gateway.image_inputs import Picture
from serve.gateway.routing import image_inputs_of, services_of
from serve.gateway.run_requests import about_input
from serve.gateway.services import Services
from serve.gateway.views import cost_view
from serve.gateway.workflows import media
from serve.gateway.workflows.calls import Call
from serve.gateway.workflows.ceilings import CallBound, RunBound, inputs_of
from serve.gateway.workflows.run_requests import AskedWorkflow
from serve.gateway.workflows.run_views import NodePlanView, WorkflowPlanView
from serve.gateway.workflows.submission import Prepared, prepare
from serve.metering.prices.prices import PriceVersion, cost_of
from serve.workflow.execution.planning import Given, Planner
from serve.workflow.execution.wiring import Fixed, Planned, Scope, sources
from serve.workflow.execution.workload import work_of_call
from serve.workflow.graph import NodeKind
from serve.workflow.operation import Quick
from serve.workflow.results.history import Estimate, StepHistory
from serve.workflow.results.result_store import StoredResults

Status = Literal["cached", "runs", "depends"]
_MEGAPIXEL = 1.0
"""Of pictures whose size is not known yet."""


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What is to be expected of a node. `needs` are the nodes that it waits for."""

    planned: Planned
    status: Status
    reason: str | None
    times: int
    seconds: float | None
    cost_nano: int | None
    needs: tuple[str, ...]


async def plan_of(request: Request, asked: AskedWorkflow) -> WorkflowPlanView:
    """The plan of a run. Raises as `prepare`, and about pictures as a run does."""
    services, caller = services_of(request), caller_of(request, "runs.write")
    prepared = await prepare(request, asked)
    with about_input():
        found = media.sources(prepared.graph, prepared.inputs, asked.file_at)
        pictures = await media.read(services, image_inputs_of(request), held_by(request.scope), caller.tenant, found)
    inputs, assets = await _with_assets(services, caller.tenant, prepared, pictures)
    bound = await asyncio.to_thread(prepared.bound, asked.body.deadline_s)
    prices = {model: await services.prices.current(model, caller.tenant) for model in bound.models()}
    terms = WorkflowTerms(
        digest="", models=prepared.models(), seeds=dict(prepared.seeds), adapters=dict(prepared.adapters.names)
    )
    scope = Planner(Given(terms, prepared.known.models, assets)).plan(prepared.graph, inputs)
    outlook = await _outlook(services, caller.tenant, asked, prepared, scope, bound, prices)
    return _view(prepared, outlook, bound, prices)


async def _with_assets(
    services: Services, tenant: TenantName, prepared: Prepared, pictures: list[Picture]
) -> tuple[dict[str, Any], dict[str, Asset]]:
    """The inputs with assets for pictures, though none is stored, and the assets that are named anywhere."""
    assets, stored = {}, {}
    for picture in pictures:
        if picture.asset_id is None:
            asset_id = AssetId(f"planned-{picture.field}")
            assets[asset_id] = Asset(
                asset_id, hashlib.sha256(picture.data).hexdigest(), picture.info.media_type, len(picture.data), 0
            )
        else:
            asset_id = picture.asset_id
        stored[picture.field] = f"{ASSET_SCHEME}{asset_id}"
    inputs = media.placed(prepared.inputs, stored)
    known = await services.assets.assets(tenant, media.named(prepared.graph, inputs) - assets.keys())
    return inputs, {**known, **{str(asset_id): asset for asset_id, asset in assets.items()}}


async def _outlook(
    services: Services,
    tenant: TenantName,
    asked: AskedWorkflow,
    prepared: Prepared,
    scope: Scope,
    bound: RunBound,
    prices: Mapping[str, PriceVersion | None],
) -> dict[str, _Outlook]:
    """What is to be expected of each node that may be asked for, in the order in which they come."""
    planned = {one.label: one for one in scope.planned()}
    keys = [one.key for one in planned.values() if one.key is not None]
    settings = services.settings.workflows
    results = StoredResults(services.records, services.assets, services.clock, settings)
    kept = await results.known(tenant, keys) if asked.body.use_cache else frozenset[str]()
    types = {one.node.type for one in planned.values()} | {f"model:{model}" for model in bound.models()}
    history = await StepHistory(services.records, services.clock).estimates(tenant, types)
    wanted = _wanted(scope, kept)
    return {
        label: _expected(planned[label], wanted[label], kept, bound, history, prices)
        for label in planned
        if label in wanted
    }


def _wanted(scope: Scope, kept: frozenset[str]) -> dict[str, str | None]:
    """The nodes that are asked for, each with what that depends on, None where on nothing. What is cached asks for
    nothing."""
    wanted: dict[str, str | None] = {}
    left: list[tuple[Planned, str | None]] = [
        (source, None) for feed in scope.outputs.values() for source in sources(feed)
    ]
    if not scope.outputs:
        left = [(one, None) for one in scope.planned()]
    while left:
        one, why = left.pop()
        if one.label in wanted and (wanted[one.label] is None or why is not None):
            continue
        wanted[one.label] = why
        if one.key not in kept:
            left += _asks_for(one, why)
    return wanted


def _asks_for(one: Planned, why: str | None) -> Iterator[tuple[Planned, str | None]]:
    open_whens = [when for when in one.whens if not isinstance(when, Fixed)]
    for when in open_whens:
        for source in sources(when):
            yield source, why
    own = why or (f"the condition of {one.label}" if open_whens else None)
    for name, feed in one.inputs.items():
        port = one.node.ports.get(name)
        lazy = f"what {one.label} chooses" if port is not None and port.is_lazy else None
        for source in sources(feed):
            yield source, own or lazy


def _expected(
    one: Planned,
    why: str | None,
    kept: frozenset[str],
    bound: RunBound,
    history: Mapping[str, Estimate],
    prices: Mapping[str, PriceVersion | None],
) -> _Outlook:
    needs = tuple(
        dict.fromkeys(source.label for feed in (*one.inputs.values(), *one.whens) for source in sources(feed))
    )
    if one.key is not None and one.key in kept:
        return _Outlook(one, "cached", "its result is there from an earlier run", 0, 0.0, 0, needs)
    off = next((when for when in one.whens if isinstance(when, Fixed) and when.value is False), None)
    if off is not None:
        return _Outlook(one, "depends", "its condition is false: it is skipped", 0, 0.0, 0, needs)
    if why is None and any(not isinstance(when, Fixed) for when in one.whens):
        why = "its condition"
    calls = bound.of(one.path)
    seconds, cost = _figures(one, calls, history, prices)
    times = sum(call.call.times for call in calls)
    return _Outlook(one, "runs" if why is None else "depends", why, times, seconds, cost, needs)


def _figures(
    one: Planned, calls: Sequence[CallBound], history: Mapping[str, Estimate], prices: Mapping[str, PriceVersion | None]
) -> tuple[float | None, int | None]:
    """(seconds, nano-dollars) that are to be expected of it. A list's items run `concurrency` at a time."""
    if one.node.kind is NodeKind.OPERATION:
        known = history.get(one.node.type)
        is_quick = isinstance(one.node.operation, Quick)
        return 0.0 if is_quick else None if known is None else known.seconds(_MEGAPIXEL), 0
    seconds, cost = (
        _sum(_seconds(bound.call, history) for bound in calls),
        _sum(_cost(bound, history, prices) for bound in calls),
    )
    num_at_once = min(one.node.concurrency, sum(bound.call.num_items for bound in calls)) if one.is_mapped else 1
    return None if seconds is None else seconds / max(1, num_at_once), None if cost is None else round(cost)


def _seconds(call: Call, history: Mapping[str, Estimate]) -> float | None:
    known = history.get(f"model:{call.model}")
    return None if known is None else known.seconds(work_of_call(call.task, inputs_of(call))) * call.num_items


def _cost(one: CallBound, history: Mapping[str, Estimate], prices: Mapping[str, PriceVersion | None]) -> float | None:
    call = one.call
    price, known = prices.get(call.model), history.get(f"model:{call.model}")
    expected = None if price is None else _consumed(one, known, price)
    return None if price is None or expected is None else cost_of(expected, price, one.adapters) * call.num_items


def _consumed(one: CallBound, known: Estimate | None, price: PriceVersion) -> Quantities | None:
    """Of pictures what they take is known but for the GPU's time and the words that another node will write; of words,
    what the tenant's own calls took lately."""
    units = {} if known is None else {unit: round(num) for unit, num in known.units.items()}
    if Modality.IMAGE in TASKS[one.call.task].outputs:
        way = one.ways[0]
        if units:
            num_tokens = min(way.prompt_tokens, units.get("prompt_tokens", 0))
            return replace(way, gpu_ms=units.get("gpu_ms", 0), prompt_tokens=num_tokens)
        if price.prices.gpu_second is None and not one.call.open:
            return way
    return Quantities(**{unit: units.get(unit, 0) for unit in UNITS}) if units else None


def _sum(figures: Iterable[float | None]) -> float | None:
    """None where one of them is not known."""
    found = list(figures)
    return None if None in found else sum(one for one in found if one is not None)


def _view(
    prepared: Prepared, outlook: Mapping[str, _Outlook], bound: RunBound, prices: Mapping[str, PriceVersion | None]
) -> WorkflowPlanView:
    path, seconds = _critical_path(outlook)
    costs = [one.cost_nano for one in outlook.values()]
    has_price = any(price is not None for price in prices.values())
    return WorkflowPlanView(
        workflow=prepared.target,
        nodes=[_node_view(one, bound, prices) for one in outlook.values()],
        seconds=seconds,
        cost=cost_view(None if None in costs else sum(filter(None, costs))),
        cost_at_most=cost_view(bound.cost(prices) if has_price else None),
        quantities_at_most=bound.quantities.nonzero(),
        critical_path=path,
        notes=_notes(outlook, prices),
    )


def _node_view(one: _Outlook, bound: RunBound, prices: Mapping[str, PriceVersion | None]) -> NodePlanView:
    path = one.planned.path
    models = {call.call.model for call in bound.of(path)}
    is_priced = any(prices.get(model) is not None for model in models)
    at_most = 0 if one.status == "cached" else bound.cost(prices, path) if is_priced else None
    return NodePlanView(
        node=path,
        type=one.planned.node.type,
        status=one.status,
        reason=one.reason,
        times=one.times,
        seconds=None if one.seconds is None else round(one.seconds, 3),
        cost=cost_view(one.cost_nano),
        cost_at_most=cost_view(at_most if models else 0),
    )


def _critical_path(outlook: Mapping[str, _Outlook]) -> tuple[list[str], float | None]:
    """The chain of nodes that takes longest, and how long; None where of one of them nothing is known."""
    ends: dict[str, tuple[float, int]] = {}
    before: dict[str, str | None] = {}
    for label, one in outlook.items():
        needs = [] if one.status == "cached" else [need for need in one.needs if need in ends]
        before[label] = max(needs, key=lambda need: ends[need], default=None)
        seconds, depth = ends.get(before[label] or "", (0.0, 0))
        ends[label] = seconds + (one.seconds or 0.0), depth + 1
    if not ends:
        return [], 0.0
    path = [max(ends, key=lambda label: ends[label])]
    total = ends[path[0]][0]
    while (step := before[path[-1]]) is not None:
        path.append(step)
    is_known = all(one.seconds is not None for one in outlook.values())
    return path[::-1], round(total, 3) if is_known else None


def _notes(outlook: Mapping[str, _Outlook], prices: Mapping[str, PriceVersion | None]) -> list[str]:
    notes = [
        f"{model} has no price: its usage is booked, and costs nothing until somebody sets one."
        for model, price in sorted(prices.items())
        if price is None
    ]
    if any(one.seconds is None for one in outlook.values()):
        notes.append("Of steps that never ran here nobody knows how long they take.")
    return notes
