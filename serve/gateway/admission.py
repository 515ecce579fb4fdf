"""Letting a call in: what it may ask for in a minute, what it costs at the most, and that this can be paid.

    allowed       the key's list of models
    limits        of the key, its project and its tenant; of callers without a key, of all of them and of each
    price         the version in force at this moment, whatever happens later
    ceiling       an upper bound of what the call consumes, and so of what it costs
    budget        that cost is taken out of the gateway's slice, or held for a run

A call that is refused here has cost nothing: no model, no adapter and no picture was asked for. One that is let in
settles when it ends: what it did not use goes back to its limits and its budget.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

from starlette.types import Scope

from serve.auth.access import Caller
from serve.auth.limits import UNLIMITED, Limits
from serve.catalog.cards import Card
from serve.domain.errors import SlipwayError, StorageUnavailable
from serve.domain.generation import CallContext
from serve.domain.run import NewRun, WorkflowTerms
from serve.domain.task import Task
from serve.domain.usage import HoldId, Quantities
from serve.gateway.client_addresses import Client
from serve.gateway.exchange import Exchange, exchange_of
from serve.gateway.model_access import check_model
from serve.gateway.rate_headers import headers_of
from serve.gateway.services import Services
from serve.gateway.tags import Tags, tags_of
from serve.metering.budgets.leases import Reservation
from serve.metering.prices.ceiling import ceiling
from serve.metering.prices.prices import PriceVersion, cost_at_most, cost_of
from serve.metering.rates.limits import DAY, Demand, Limit
from serve.metering.rates.rates import Taken
from serve.settings import AnonymousSettings
from serve.telemetry import logs

_log = logging.getLogger("slipway.gateway")
_SITE_SHARE = 4
"""A wide network (an IPv6 /48) may ask for so many times as much as one client in it."""
_MAX_KEPT = 10_000
_NOTHING = Quantities()


class Admitted:
    """A call that is let in. `settle` it once it has ended."""

    __slots__ = (
        "_is_sent",
        "_limits_tokens",
        "_reserved",
        "_taken",
        "adapters",
        "admitted_ms",
        "ceiling",
        "hold",
        "price",
        "reserved_nano",
        "tags",
    )

    def __init__(
        self, admitted_ms: int, adapters: Sequence[str], tags: Tags, ceiling: Quantities, taken: Taken | None
    ) -> None:
        """`ceiling` is nothing where neither a limit nor, later, a price asks for it."""
        self.admitted_ms = admitted_ms
        self.price: PriceVersion | None = None
        self.adapters = adapters
        self.tags = tags
        self.ceiling = ceiling
        self.hold: HoldId | None = None
        self.reserved_nano = 0
        self._limits_tokens = taken is not None and any(one.limit.unit == "tokens" for one in taken.standings)
        self._taken = taken
        self._reserved: Reservation | None = None
        self._is_sent = False

    @property
    def gives_back(self) -> bool:
        """Whether it took more of a limit than a call, which it may turn out not to need."""
        return self._taken is not None and any(one.limit.unit != "requests" for one in self._taken.standings)

    @property
    def max_prompt_tokens(self) -> int | None:
        """More than this was not reckoned with, where a budget or a limit reckons at all."""
        return self.ceiling.prompt_tokens if self.is_bound and self.ceiling.prompt_tokens else None

    @property
    def is_bound(self) -> bool:
        """Whether a budget or a limit of tokens reckons with it."""
        return self.hold is not None or self._limits_tokens

    def reserve(self, reserved: Reservation | None, nano: int) -> None:
        """The call's cost is drawn from here, `nano` at the most."""
        if reserved is not None:
            self._reserved, self.hold, self.reserved_nano = reserved, reserved.hold, nano

    def send(self) -> None:
        """From now on a model may work for the call."""
        self._is_sent = True

    def close(self) -> None:
        """The request is over: whatever became of its call, it holds nothing here. One that no model was asked for, as
        its client had left, counts as never asked for."""
        if self._is_sent:
            self.settle(None)
        else:
            self.forget()

    def settle(self, quantities: Quantities | None) -> None:
        """The call has ended. None: nobody here knows what it consumed; the ledger will."""
        reserved, taken = self._reserved, self._taken
        self._reserved = self._taken = None
        if reserved is not None:
            reserved.settle(None if quantities is None else self.cost(quantities) or 0)
        if taken is not None and quantities is not None:
            taken.give_back("tokens", _tokens(self.ceiling) - _tokens(quantities))
            taken.give_back("images", self.ceiling.images - quantities.images)

    def forget(self) -> None:
        """The call never came to be: it counts as never asked for."""
        taken, self._taken = self._taken, None
        if taken is not None:
            taken.give_all_back()
        self.settle(_NOTHING)

    def context(self, context: CallContext) -> CallContext:
        """`context` with what was admitted."""
        return replace(
            context,
            admitted_ms=self.admitted_ms,
            price=None if self.price is None else self.price.id,
            hold=self.hold,
            reserved_nano=self.reserved_nano,
            tags=self.tags,
            max_prompt_tokens=self.max_prompt_tokens,
        )

    def cost(self, quantities: Quantities) -> int | None:
        """Nano-dollars by the price at admission; None for an unpriced model."""
        return None if self.price is None else cost_of(quantities, self.price, self.adapters)


@dataclass(frozen=True, slots=True)
class _Asked:
    """A valid call, before anybody knows whether it is let in. `seconds` is how long it may take, if it says so."""

    card: Card
    task: Task
    inputs: Mapping[str, Any]
    adapters: Sequence[str]
    seconds: float | None = None

    def ceiling(self) -> Quantities:
        """What it consumes at the most."""
        return ceiling(self.task, self.inputs, self.card.document.spec, seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class AdmittedRun:
    """A run that is let in: the row with what was admitted, to be taken back if it does not come to be."""

    new: NewRun
    admitted: Admitted
    services: Services

    def promised(self) -> None:
        """The run is stored: what it does not need of its limits comes back when it ends."""
        if self.admitted.gives_back:
            self.services.run_limits.follow(self.new.id, self.admitted)

    async def forget(self) -> None:
        """There is no such run."""
        self.admitted.forget()
        if self.admitted.hold is None:
            return
        try:
            await self.services.wallets.drop_run_hold(self.admitted.hold)
        except StorageUnavailable:
            _log.warning("what run %s held, which was not accepted, stays held until it is swept", self.new.id)


class WorkflowBound(Protocol):
    """What a workflow's run consumes and costs at the most (`serve.gateway.workflows.ceilings`)."""

    @property
    def quantities(self) -> Quantities:
        """Of all calls together."""
        ...

    def models(self) -> Mapping[str, bool]:
        """Those that are called, and whether with adapters."""
        ...

    def prompt_tokens(self, model: str) -> int:
        """Of the longest prompt that is reckoned with."""
        ...

    def most_of_a_call(self, model: str) -> Quantities:
        """Each unit at its highest, in any call of the model."""
        ...

    def cost(self, prices: Mapping[str, PriceVersion | None]) -> int:
        """In nano-dollars, by the prices of the models."""
        ...


class Admission:
    """Lets calls in; one per gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limits: dict[str, tuple[Caller, tuple[Limit, ...]]] = {}

    @cached_property
    def _tag_keys(self) -> frozenset[str]:
        return frozenset(filter(None, self._services.settings.metering.tag_keys.split(",")))

    @cached_property
    def _of_all_clients(self) -> tuple[Limit, ...]:
        most, whose = self._services.settings.anonymous, "all callers without a key"
        return (
            Limit("anonymous", "requests", most.requests_per_minute, whose),
            Limit("anonymous", "requests", most.requests_per_day, whose, DAY),
        )

    async def admit(
        self, scope: Scope, card: Card, task: Task, inputs: Mapping[str, Any], adapters: Sequence[str]
    ) -> Admitted:
        """Let a call in that is answered now. `inputs` are valid for the card, `adapters` immutable ids.

        Raises:
            PermissionDenied, InvalidRequest, RateLimited, QuotaExceeded, StorageUnavailable.
        """
        exchange, wallets = exchange_of(scope), self._services.wallets
        caller = exchange.authenticated
        asked = _Asked(card, task, inputs, adapters)
        with _Refusals(self._services, exchange):
            admitted, nano = await self._let_in(scope, exchange, asked)
            with _Forgotten(admitted):
                if nano:
                    reserved = await wallets.reserve(
                        caller.tenant, caller.project, caller.key_id, nano, exchange.request_id
                    )
                    admitted.reserve(reserved, nano)
        exchange.admitted = admitted
        return admitted

    async def admit_run(self, scope: Scope, card: Card, new: NewRun) -> AdmittedRun:
        """Let a run in: its cost is held until it is booked, however long it waits. Raises as `admit`."""
        exchange = exchange_of(scope)
        seconds = None if new.deadline_ms is None else (new.deadline_ms - self._services.clock.now_ms()) / 1000
        asked = _Asked(card, task_of(new), new.inputs, [adapter.id for adapter in new.adapters], seconds)
        with _Refusals(self._services, exchange):
            admitted, nano = await self._let_in(scope, exchange, asked)
            await self._hold(admitted, new, nano)
        return AdmittedRun(new.model_copy(update=_row(exchange, admitted)), admitted, self._services)

    async def admit_workflow(self, scope: Scope, new: NewRun, bound: WorkflowBound) -> AdmittedRun:
        """Let a workflow's run in, as one request: all that its models consume at the most is taken off the limits, and
        all that it costs is held, at once. Raises as `admit`."""
        exchange, prices = exchange_of(scope), self._services.prices
        caller, models = exchange.authenticated, bound.models()
        with _Refusals(self._services, exchange):
            for model, with_adapters in models.items():
                check_model(caller, model, with_adapters=with_adapters)
            tags = tags_of(scope, self._tag_keys)
            limits = self._limits_of(caller, exchange.client)
            taken = await self._take(exchange, limits, bound.quantities) if limits else None
            admitted = Admitted(self._services.clock.now_ms(), (), tags, bound.quantities, taken)
            with _Forgotten(admitted):
                found = {model: await prices.at(model, caller.tenant, admitted.admitted_ms) for model in models}
            await self._hold(admitted, new, bound.cost(found))
        row = _row(exchange, admitted) | {"workflow": _workflow_terms(new, found, admitted, bound)}
        return AdmittedRun(new.model_copy(update=row), admitted, self._services)

    async def _hold(self, admitted: Admitted, new: NewRun, nano: int) -> None:
        """Hold what a run costs at the most."""
        with _Forgotten(admitted):
            if nano:
                hold = await self._services.wallets.hold_for_run(new.tenant, new.project, new.key_id, new.id, nano)
                admitted.hold, admitted.reserved_nano = hold, nano if hold else 0

    async def _let_in(self, scope: Scope, exchange: Exchange, asked: _Asked) -> tuple[Admitted, int]:
        """The call, and what it costs at the most."""
        caller, model = exchange.authenticated, asked.card.name
        check_model(caller, model, with_adapters=bool(asked.adapters))
        tags = tags_of(scope, self._tag_keys)
        limits = self._limits_of(caller, exchange.client)
        bound = asked.ceiling() if limits else _NOTHING
        taken = await self._take(exchange, limits, bound) if limits else None
        admitted = Admitted(self._services.clock.now_ms(), asked.adapters, tags, bound, taken)
        with _Forgotten(admitted):
            price = await self._services.prices.at(model, caller.tenant, admitted.admitted_ms)
            if price is None:
                return admitted, 0
            admitted.price, admitted.ceiling = price, bound if limits else asked.ceiling()
            return admitted, cost_at_most(admitted.ceiling, price, asked.adapters)

    async def _take(self, exchange: Exchange, limits: Sequence[Limit], bound: Quantities) -> Taken:
        demands = [demand for limit in limits if (demand := _demand(limit, bound))[1]]
        rates = self._services.rates
        try:
            taken = await rates.take(demands)
        except SlipwayError:
            exchange.extra_headers = headers_of(rates.standings(limits))
            raise
        exchange.extra_headers = headers_of(taken.standings)
        return taken

    def limits_without_key(self, client: Client) -> Sequence[Limit]:
        """What binds a client that has no key: the limits of all such, and its own."""
        return (*self._of_all_clients, *_of_client(client, self._services.settings.anonymous))

    def _limits_of(self, caller: Caller, client: Client | None) -> Sequence[Limit]:
        if client is not None:
            return self.limits_without_key(client)
        if _is_unlimited(caller):
            return ()
        kept = self._limits.get(caller.key_id)
        if kept is None or kept[0] != caller:
            if len(self._limits) >= _MAX_KEPT:
                self._limits.clear()
            kept = self._limits[caller.key_id] = (caller, tuple(_of_caller(caller)))
        return kept[1]


class _Forgotten:
    """Takes back what a call took so far when it is not let in after all."""

    __slots__ = ("_admitted",)

    def __init__(self, admitted: Admitted) -> None:
        self._admitted = admitted

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._admitted.forget()


class _Refusals:
    """Writes down why a call was not let in."""

    __slots__ = ("_exchange", "_services")

    def __init__(self, services: Services, exchange: Exchange) -> None:
        self._services = services
        self._exchange = exchange

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SlipwayError):
            logs.bind(refused=error.code)
            self._services.metrics.refused(self._exchange.authenticated.tenant, error)


def task_of(new: NewRun) -> Task:
    """The task of a model's run. Raises RuntimeError for another's; a mistake of ours."""
    if new.task is None:
        raise RuntimeError(f"a {new.kind} run has no one task")
    return new.task


def _row(exchange: Exchange, admitted: Admitted) -> dict[str, Any]:
    """What a run's row says of its admission."""
    return {
        "price": None if admitted.price is None else admitted.price.id,
        "hold": admitted.hold,
        "reserved_nano": admitted.reserved_nano,
        "tags": dict(admitted.tags),
        "trace": exchange.trace,
    }


def _workflow_terms(
    new: NewRun, prices: Mapping[str, PriceVersion | None], admitted: Admitted, bound: WorkflowBound
) -> WorkflowTerms | None:
    """With prices; and with the most that a call may consume, where that is reckoned with."""
    if new.workflow is None:
        return None
    models = {}
    for name, terms in new.workflow.models.items():
        price, most = prices.get(name), bound.prompt_tokens(name) if admitted.is_bound else 0
        update: dict[str, Any] = {"price": None if price is None else price.id, "max_prompt_tokens": most or None}
        if admitted.is_bound:
            update["most"] = bound.most_of_a_call(name).without_prompt().nonzero()
        models[name] = terms.model_copy(update=update)
    return new.workflow.model_copy(update={"models": models})


def _is_unlimited(caller: Caller) -> bool:
    around = (caller.limits, caller.project_limits, caller.tenant_limits, *(limits for _, limits in caller.makers))
    return all(limits is UNLIMITED for limits in around)


def _of_caller(caller: Caller) -> list[Limit]:
    """The limits of the key, of the keys that it comes from, of its project and its tenant."""
    project = f"{caller.tenant}/{caller.project}"
    of = (
        (f"key:{caller.family or caller.key_id}", "this key", caller.limits),
        *((f"key:{maker}", f"the key {maker}, which this one comes from,", limits) for maker, limits in caller.makers),
        (f"project:{project}", f"the project {project}", caller.project_limits),
        (f"tenant:{caller.tenant}", f"the tenant {caller.tenant}", caller.tenant_limits),
    )
    return [
        Limit(scope, unit, most, whose)
        for scope, whose, limits in of
        for unit, most in _units(limits)
        if most is not None
    ]


def _units(limits: Limits) -> tuple[tuple[str, int | None], ...]:
    return (
        ("requests", limits.requests_per_minute),
        ("tokens", limits.tokens_per_minute),
        ("images", limits.images_per_minute),
    )


def _of_client(client: Client, most: AnonymousSettings) -> list[Limit]:
    """Of callers without a key: by the narrow network, and by the wide one that it is in."""
    per_minute, per_day = most.client_requests_per_minute, most.client_requests_per_day
    limits = [
        Limit(f"client:{client.name}", "requests", per_minute, "your network without a key"),
        Limit(f"client:{client.name}", "requests", per_day, "your network without a key", DAY),
    ]
    if client.site is not None:
        limits += [
            Limit(f"client:{client.site}", "requests", per_minute * _SITE_SHARE, "your site without a key"),
            Limit(f"client:{client.site}", "requests", per_day * _SITE_SHARE, "your site without a key", DAY),
        ]
    return limits


def _demand(limit: Limit, bound: Quantities) -> Demand:
    match limit.unit:
        case "tokens":
            return limit, _tokens(bound)
        case "images":
            return limit, bound.images
        case _:
            return limit, 1


def _tokens(quantities: Quantities) -> int:
    return quantities.prompt_tokens + quantities.completion_tokens
