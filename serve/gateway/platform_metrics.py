"""What `/metrics` says of the platform: the ledger's totals, the budgets, the models, read where they are kept.

So every gateway answers the same, whichever a scrape meets. What cannot be read is left out, and
`slipway_ledger_readable` is 0.
"""

import asyncio
import logging

from sqlalchemy import case, func, select

from serve.domain.money import NANO_PER_USD
from serve.domain.run import RunKind, RunStatus
from serve.domain.serving import ModelState, ModelStatus
from serve.domain.usage import UNITS
from serve.gateway.services import Services
from serve.metering.budgets.budgets import BudgetState, budget_states
from serve.metering.ledger.totals import Booking, Totals, totals
from serve.storage.tables import runs
from serve.telemetry import series
from serve.telemetry.recording import Recorder

_log = logging.getLogger("slipway.gateway")
_FRESH_SECONDS = 5.0
"""Scrapes in between are answered with the same."""
_TIMEOUT_SECONDS = 5.0
_WORKFLOWS = "workflows"
"""What stands for every workflow where models are told apart."""
_ATTEMPTS = {
    "num_attempts": "all",
    "num_unbilled": "unbilled",
    "num_estimated": "estimated",
    "num_unpriced": "unpriced",
}


class PlatformMetrics:
    """The platform's series, a few seconds old at the most."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._read_at = -_FRESH_SECONDS
        self._recorder = Recorder()

    async def read(self) -> Recorder:
        """As they are now. Never raises."""
        async with self._lock:
            now = self._services.clock.monotonic()
            if now - self._read_at >= _FRESH_SECONDS:
                self._recorder = Recorder()  # anew: what is gone must not be told for ever
                await self._fill(self._recorder)
                self._read_at = now
        return self._recorder

    async def _fill(self, recorder: Recorder) -> None:
        services = self._services
        is_read = True
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                tell_ledger(recorder, await totals(services.records, services.clock, services.settings.metering))
                tell_budgets(recorder, await budget_states(services.records, services.clock.now_ms()))
                await self._tell_runs(recorder)
        except Exception:
            _log.warning("the ledger's totals cannot be read", exc_info=True)
            is_read = False
        recorder.level(series.LEDGER_ANSWERS).set(is_read)
        for model, status in (await services.models.statuses()).items():
            tell_model(recorder, model, status)

    async def _tell_runs(self, recorder: Recorder) -> None:
        # The names of workflows are their tenants' own, and any number.
        target = case((runs.c.kind == RunKind.WORKFLOW.value, _WORKFLOWS), else_=runs.c.target).label("target")
        waiting = select(target).where(runs.c.status == RunStatus.QUEUED).subquery()
        queued = select(waiting.c.target, func.count()).group_by(waiting.c.target)
        async with self._services.records.read() as connection:
            for model, number in (await connection.execute(queued)).all():
                recorder.level(series.QUEUED_RUNS, model).set(number)


def tell_ledger(recorder: Recorder, found: Totals) -> None:
    """What is booked, and what does not add up."""
    for (tenant, model), booking in found.booked.items():
        _tell_booking(recorder, tenant, model, booking)
    for (tenant, model), booking in found.month.items():
        _tell_sums(recorder, (series.MONTH_COST, series.MONTH_UNITS), tenant, model, booking)
    recorder.level(series.LEDGER_CONFLICTS).set(found.num_conflicts)
    recorder.level(series.LEDGER_GAPS).set(found.num_missing)
    recorder.level(series.LEDGER_UNRECONCILED).set(found.num_unreconciled)
    recorder.level(series.LEDGER_WITNESSES).set(found.num_waiting_witnesses)
    for unit, difference in zip(UNITS, found.difference.values(), strict=True):
        recorder.level(series.LEDGER_DIFFERENCE, unit).set(difference)


def _tell_booking(recorder: Recorder, tenant: str, model: str, booking: Booking) -> None:
    _tell_sums(recorder, (series.BOOKED_COST, series.BOOKED_UNITS), tenant, model, booking)
    for name, which in _ATTEMPTS.items():
        recorder.level(series.BOOKED_ATTEMPTS, tenant, model, which).add(booking.counts.get(name, 0))


def _tell_sums(
    recorder: Recorder, told: tuple[series.Series, series.Series], tenant: str, model: str, booking: Booking
) -> None:
    # Levels are added to: tenants beyond the cap of labels share one.
    cost, units = told
    recorder.level(cost, tenant, model).add(booking.cost_nano / NANO_PER_USD)
    for unit, quantity in booking.quantities.nonzero().items():
        recorder.level(units, tenant, model, unit).add(quantity)


def tell_budgets(recorder: Recorder, states: list[BudgetState]) -> None:
    """Of each tenant and period the budget that is nearest to its end: one set of labels, however many there are."""
    tightest: dict[tuple[str, str], tuple[float, BudgetState]] = {}
    for state in states:
        limit = state.budget.limit_nano
        if limit is None:
            continue
        used = (state.spent_nano + state.held_nano) / max(limit, 1)
        key = (str(state.budget.tenant), str(state.budget.period))
        if key not in tightest or used > tightest[key][0]:
            tightest[key] = (used, state)
    for key, (_, state) in tightest.items():
        recorder.level(series.BUDGET_LIMIT, *key).set((state.budget.limit_nano or 0) / NANO_PER_USD)
        recorder.level(series.BUDGET_SPENT, *key).set(state.spent_nano / NANO_PER_USD)
        recorder.level(series.BUDGET_HELD, *key).set(state.held_nano / NANO_PER_USD)


def tell_model(recorder: Recorder, model: str, status: ModelStatus) -> None:
    """How one model is doing."""
    recorder.level(series.MODEL_REPLICAS, model, "ready").set(status.ready_replicas)
    recorder.level(series.MODEL_REPLICAS, model, "desired").set(status.desired_replicas)
    recorder.level(series.QUEUED_RUNS, model).add(0)  # a line that ends would hide that nothing waits
    for state in ModelState:
        recorder.level(series.MODEL_STATE, model, state.value).set(status.state is state)
