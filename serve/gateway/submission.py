"""From a valid request to a run that is promised: joined to the first one, or its pictures and its row written."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from serve.catalog.cards import Card
from serve.domain.errors import Conflict, InvalidRequest, Overloaded
from serve.domain.names import RunId
from serve.domain.run import NewRun, Run, RunAdapter
from serve.gateway.admission import AdmittedRun, task_of
from serve.gateway.body_budget import HeldBytes
from serve.gateway.image_inputs import NO_UPLOADS, ImageInputs, Picture, Uploads
from serve.gateway.run_requests import about_input
from serve.gateway.services import Services
from serve.telemetry import logs

_log = logging.getLogger("slipway.gateway")
T = TypeVar("T")


ResolvesAdapters = Callable[[], Awaitable[tuple[RunAdapter, ...]]]
Admits = Callable[[NewRun], Awaitable[AdmittedRun]]


class Wish(Protocol):
    """A run that is asked for. What it needs is looked for in this order, and no further than to what is refused."""

    @property
    def new(self) -> NewRun:
        """The row as far as the request alone says it."""
        ...

    async def resolved(self) -> NewRun:
        """The row with what it names looked up: nothing of it changes later."""
        ...

    async def admit(self, new: NewRun) -> AdmittedRun:
        """Let it in, and hold what it costs at the most."""
        ...

    async def pictures(self, image_inputs: ImageInputs) -> list[Picture]:
        """The pictures of its inputs, checked."""
        ...

    async def complete(self, new: NewRun, stored: Mapping[str, str]) -> NewRun:
        """The row with its pictures, `asset:<id>` by field, and all that must be there before it."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """A model's run that is asked for. `held` is what its request holds, `path` the part of the body that has the
    inputs."""

    card: Card
    new: NewRun
    held: HeldBytes
    adapters: ResolvesAdapters
    admits: Admits
    uploads: Uploads = NO_UPLOADS
    path: str = ""

    async def resolved(self) -> NewRun:
        """See `Wish`."""
        return self.new.model_copy(update={"adapters": await self.adapters()})

    async def admit(self, new: NewRun) -> AdmittedRun:
        """See `Wish`."""
        return await self.admits(new)

    async def pictures(self, image_inputs: ImageInputs) -> list[Picture]:
        """See `Wish`."""
        new = self.new
        with about_input(self.path):
            return await image_inputs.read(self.held, new.tenant, self.card, task_of(new), new.inputs, self.uploads)

    async def complete(self, new: NewRun, stored: Mapping[str, str]) -> NewRun:
        """See `Wish`."""
        return new.model_copy(update={"inputs": {**new.inputs, **stored}}) if stored else new


async def submit(services: Services, image_inputs: ImageInputs, order: Wish) -> tuple[Run, bool]:
    """The stored run, and whether it is new.

    A request that joins the run of its Idempotency-Key looks for no adapter and reads no picture again: both may be
    gone, or be others, by now. It counts against no limit and no budget either. Any other is admitted before a picture
    is read; of that one every picture is checked before the first is stored, and what is stored and held goes again if
    the row is refused.

    Raises:
        InvalidRequest, NotFound, Unprocessable: about an input or an adapter, with its name.
        PermissionDenied, RateLimited, QuotaExceeded: as `Admission.admit_run`.
        Conflict, Overloaded: as `RunStore.create`.
    """
    new = order.new
    if first := await services.runs.replayed(new):
        logs.bind(run_id=first.id)
        return first, False
    admitted = await order.admit(await order.resolved())
    try:
        pictures = await order.pictures(image_inputs)
    except BaseException:
        await _whatever_happens(admitted.forget())
        raise
    # A row, its pictures and its hold come together, also for a client that has left.
    return await _whatever_happens(_promise(services, image_inputs, order, admitted, pictures))


async def _whatever_happens(work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. It comes to its end also when the caller is canceled, and only then the caller hears of it."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def _promise(
    services: Services, image_inputs: ImageInputs, order: Wish, admitted: AdmittedRun, pictures: list[Picture]
) -> tuple[Run, bool]:
    """Pictures that were stored, and what is held, go again where there is surely no row that needs them.

    Where that is not known, as when the database took the row and its answer was lost, they stay: with their run, or
    until the sweep finds that it does not exist (`serve.runs.retention`).
    """
    new, is_needed = admitted.new, False
    try:
        new = await order.complete(new, await image_inputs.store(pictures, new))
        is_needed = True
        run, is_kept = await services.runs.create(new)
        is_needed = is_kept
    except (InvalidRequest, Conflict, Overloaded):
        is_needed = False
        raise
    finally:
        if not is_needed:
            await admitted.forget()
        if pictures and not is_needed:
            await image_inputs.forget(new)
    logs.bind(run_id=run.id)
    if is_kept:
        admitted.promised()
        await _nudge(services, run.id)
    return run, is_kept


async def _nudge(services: Services, run_id: RunId) -> None:
    """Only haste: a runner that hears nothing finds the run by itself."""
    try:
        await services.nudge(run_id)
    except Exception:
        _log.warning("no runner could be told of a run", exc_info=True)
