"""Usage as the API shows it. Money is `{"nano_usd": whole number, "usd": text}`: list price, what a free tier and
credit pay of it, and what is due."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from serve.domain.moments import at
from serve.domain.usage import UNITS, Basis
from serve.gateway.views import Body, CostView, Timestamp, at_or_none, cost_view
from serve.metering.ledger.queries import Used
from serve.metering.ledger.rerating import Rerated


class MoneyView(BaseModel):
    """`due` is `list` less `free` and `credit`."""

    list: CostView
    free: CostView
    credit: CostView
    due: CostView


class UsageView(BaseModel):
    """One group in one period. `unpriced` attempts are in the quantities and not in the cost; `estimated` ones rest on
    a checkpoint or a witness."""

    object: Literal["usage"] = "usage"
    period: Timestamp | None
    group: dict[str, str]
    quantities: dict[str, int]
    cost: MoneyView
    attempts: int
    canceled: int
    failed: int
    lost: int
    unbilled: int
    estimated: int
    unpriced: int


class UsageEventView(BaseModel):
    """One posting of the ledger. A correction (`corrects` names its attempt) has signed differences. `cost` is null
    for an attempt without a price."""

    id: str
    object: Literal["usage.event"] = "usage.event"
    kind: str
    corrects: str | None
    request_id: str
    run_id: str | None
    tenant: str
    project: str
    key_id: str
    model: str
    task: str
    adapters: list[str]
    workflow: str | None
    node: str | None
    tags: dict[str, str]
    status: str
    basis: str
    estimated: bool
    billable: bool
    reason: str | None
    quantities: dict[str, int]
    price: str | None
    cost: MoneyView | None
    admitted_at: Timestamp
    started_at: Timestamp
    booked_at: Timestamp
    duration_ms: int


class UsageEventHistory(UsageEventView):
    """An attempt, with what was posted on it since."""

    postings: list[UsageEventView]


class RerateBody(Body):
    """Charge a model's attempts of a time by the price version `version`: those without a price, or those that were
    charged by the version `wrong`."""

    model: str = Field(max_length=120)
    since: AwareDatetime
    until: AwareDatetime
    version: str = Field(max_length=80)
    wrong: str | None = Field(default=None, max_length=80)


class RerateView(BaseModel):
    """How many attempts have another cost now, and by how much all of them together."""

    object: Literal["usage.rerating"] = "usage.rerating"
    attempts: int
    change: CostView


def money_view(cost_nano: int, free_nano: int, credit_nano: int) -> MoneyView:
    """The four amounts."""
    due = cost_nano - free_nano - credit_nano
    amounts = [cost_view(nano) for nano in (cost_nano, free_nano, credit_nano, due)]
    return MoneyView(**dict(zip(("list", "free", "credit", "due"), amounts, strict=True)))


def usage_view(used: Used) -> UsageView:
    """One row of an answer."""
    return UsageView(
        period=at_or_none(used.period_ms),
        group=dict(used.group),
        quantities=used.quantities.nonzero(),
        cost=money_view(used.cost_nano, used.free_nano, used.credit_nano),
        **{name.removeprefix("num_"): number for name, number in used.counts.items()},
    )


_SAME = (
    *("id", "kind", "corrects", "request_id", "run_id", "tenant", "project", "key_id", "model", "task", "adapters"),
    *("tags", "status", "basis", "reason", "price", "duration_ms"),
)


def event_view(row: Any) -> UsageEventView:
    """A row of the ledger."""
    return UsageEventView(**_event(row))


def history_view(rows: Any) -> UsageEventHistory:
    """A row and what was posted on it."""
    return UsageEventHistory(**_event(rows[0]), postings=[event_view(row) for row in rows[1:]])


def _event(row: Any) -> dict[str, Any]:
    quantities = {unit: value for unit in UNITS if (value := getattr(row, unit))}
    is_unpriced = row.cost_nano is None
    return {
        **{name: getattr(row, name) for name in _SAME},
        "workflow": row.workflow or None,
        "node": row.node or None,
        "billable": bool(row.billable),
        "estimated": Basis(row.basis).is_estimated,
        "quantities": quantities,
        "cost": None if is_unpriced else money_view(row.cost_nano, row.free_nano, row.credit_nano),
        **{f"{name}_at": at(getattr(row, f"{name}_ms")) for name in ("admitted", "started", "booked")},
    }


def rerate_view(done: Rerated) -> RerateView:
    """What a re-rating did."""
    return RerateView(attempts=done.num_attempts, change=cost_view(done.change_nano))
