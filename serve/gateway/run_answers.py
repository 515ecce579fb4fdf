"""How runs are answered, whatever they are of: as they are now, when they have ended, or event by event."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve.domain.moments import at
from serve.domain.names import RunId, TenantName
from serve.domain.run import Run, RunKind
from serve.domain.stowed import stowed_asset
from serve.domain.written import is_asset
from serve.gateway.routing import services_of
from serve.gateway.services import Services
from serve.gateway.streaming import CancelOnDisconnect, sse_event, with_keep_alive
from serve.gateway.views import RunAdapterView, RunErrorView, RunUrls, RunView, at_or_none, cost_view
from serve.metering.ledger.run_costs import Charged, EndedRun, charges
from serve.runs import events

KEEP_ALIVE_SECONDS = 15.0
"""Half of what impatient proxies allow a silent connection."""


async def answered(request: Request, run: Run, wait: int | None) -> Response:
    """The run: at once, or when it has ended, in `wait` seconds at the most."""
    if wait is None:
        return _answer(run, 202)
    services = services_of(request)
    async with CancelOnDisconnect(request.receive):
        run = await events.wait(services.runs, run.tenant, run.id, wait)
    (run,) = await with_costs(services, [run])
    return _answer(run, 200 if run.status.is_terminal else 202, {"Preference-Applied": f"wait={wait}"})


def _answer(run: Run, status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(run_view(run).model_dump(mode="json"), status, headers)


async def run_events(
    services: Services, tenant: TenantName, run_id: RunId, after_seq: int = 0
) -> AsyncGenerator[bytes, None]:
    """The run's events after `after_seq`, as they happen, to its end."""

    async def lines() -> AsyncGenerator[bytes, None]:
        yield b": the events of a run\n\n"  # opens the stream at once, even when nothing happens for long
        async with aclosing(events.follow_together(services.runs, tenant, run_id, after_seq)) as followed:
            async for some in followed:
                yield b"".join([sse_event(event.seq, event.kind, event.data) for event in some])

    async with aclosing(lines()) as written, aclosing(with_keep_alive(written, KEEP_ALIVE_SECONDS)) as kept:
        async for chunk in kept:
            yield chunk


async def with_costs(services: Services, found: Sequence[Run]) -> list[Run]:
    """With what the ledger says of runs that have ended and do not know themselves what they cost."""
    ended = [_ended(run, run.finished_ms) for run in found if run.finished_ms is not None and run.cost_nano is None]
    if not ended:
        return list(found)
    grace_ms = round(services.settings.metering.witness_grace_seconds * 1000)
    charged = await charges(services.records, ended, services.clock.now_ms(), grace_ms)
    return [_charged(run, charged.get(run.request_id)) for run in found]


def _ended(run: Run, finished_ms: int) -> EndedRun:
    if run.kind is RunKind.WORKFLOW:
        return EndedRun(run.request_id, run.attempt, finished_ms, True, run.id, run.fence)
    return EndedRun(run.request_id, run.attempt, finished_ms, run.price is not None)


def _charged(run: Run, charged: Charged | None) -> Run:
    """Of a workflow's run that was stopped, what it knows itself of its usage is the least that it was."""
    if charged is None or run.cost_nano is not None:
        return run
    is_known = run.usage is not None and run.kind is not RunKind.WORKFLOW
    usage = run.usage if is_known else charged.quantities.nonzero()
    return run.model_copy(update={"cost_nano": charged.cost_nano, "usage": usage})


def run_view(run: Run) -> RunView:
    """A run as its owner sees it."""
    here = f"/v1/runs/{run.id}"
    is_workflow = run.kind is RunKind.WORKFLOW
    return RunView(
        id=run.id,
        kind=run.kind,
        model=None if is_workflow else run.target,
        workflow=run.target if is_workflow else None,
        task=run.task,
        status=run.status,
        attempt=run.attempt,
        created_at=at(run.created_ms),
        started_at=at_or_none(run.started_ms),
        finished_at=at_or_none(run.finished_ms),
        input=run.inputs,
        adapters=[RunAdapterView(id=adapter.id, scale=adapter.scale) for adapter in run.adapters],
        output=shown_outputs(run.outputs) if is_workflow and run.outputs else run.outputs,
        usage=run.usage,
        cost=cost_view(run.cost_nano),
        error=RunErrorView(**run.error.model_dump()) if run.error else None,
        request_id=run.request_id,
        urls=RunUrls(
            self=here,
            events=f"{here}/events",
            cancel=f"{here}/cancel",
            steps=f"{here}/steps" if is_workflow else None,
        ),
    )


def shown_outputs(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """A workflow's outputs, with an address for the bytes of each asset."""
    return {name: _shown(value) for name, value in outputs.items()}


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(one) for one in value]
    if stowed_asset(value) is not None:
        return {name: _shown(one) for name, one in value.items()}
    if not is_asset(value):
        return value
    asset = {key: one for key, one in value["asset"].items() if key != "created_ms"}
    return {"asset": asset | {"url": f"/v1/assets/{asset['id']}/content"}}
