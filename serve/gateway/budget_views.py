"""Budgets and credit as the API shows and takes them. Amounts are given as decimal text of US dollars."""

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from serve.domain.moments import at
from serve.domain.money import nano_usd
from serve.gateway.views import Body, CostView, Timestamp, at_or_none, cost_view
from serve.metering.budgets.accounts import Period
from serve.metering.budgets.budgets import BudgetState
from serve.metering.budgets.credits import MAX_PRIORITY, CreditBalance, CreditGrant


def _checked(text: str) -> str:
    nano_usd(text)
    return text


Usd = Annotated[str, AfterValidator(_checked), Field(max_length=40, examples=["25.00"])]
"""Dollars as text, with at most 9 decimals."""


class NewBudgetBody(Body):
    """A limit on what calls cost: of a tenant, of a `project`, or of one key. `limit_usd` refuses what would go beyond
    it, `soft_limit_usd` only tells. Days and months are UTC."""

    title: str = Field(default="", max_length=120)
    period: Period
    limit_usd: Usd | None = None
    soft_limit_usd: Usd | None = None
    project: str | None = Field(default=None, max_length=40)
    key_id: str | None = Field(default=None, max_length=24)
    tenant: str | None = Field(default=None, max_length=40, description="Another tenant's; administrators only.")


class BudgetChange(Body):
    """What is given is set, and null takes a limit away; one of the two must stay."""

    title: str | None = Field(default=None, max_length=120)
    limit_usd: Usd | None = None
    soft_limit_usd: Usd | None = None


class BudgetView(BaseModel):
    """A budget and how its present period stands. `held` is promised to calls under way and to queued runs, or ready
    at a gateway for calls to come; `remaining` is the limit less both. What an administrator set, only one changes."""

    id: str
    object: Literal["budget"] = "budget"
    title: str
    tenant: str
    project: str | None
    key_id: str | None
    period: Period
    limit: CostView | None
    soft_limit: CostView | None
    spent: CostView
    held: CostView
    remaining: CostView | None
    soft_exceeded: bool
    started_at: Timestamp | None
    resets_at: Timestamp | None
    set_by: str
    created_at: Timestamp
    updated_at: Timestamp


def budget_view(state: BudgetState) -> BudgetView:
    """A budget as the API shows it."""
    budget = state.budget
    return BudgetView(
        id=budget.id,
        title=budget.title,
        tenant=budget.tenant,
        project=budget.project or None,
        key_id=budget.key_id or None,
        period=budget.period,
        limit=cost_view(budget.limit_nano),
        soft_limit=cost_view(budget.soft_nano),
        spent=amount(state.spent_nano),
        held=amount(state.held_nano),
        remaining=cost_view(state.remaining_nano),
        soft_exceeded=state.soft_exceeded,
        started_at=at_or_none(state.period_ms or None),
        resets_at=at_or_none(state.resets_ms),
        set_by=budget.set_by,
        created_at=at(budget.created_ms),
        updated_at=at(budget.updated_ms),
    )


def amount(nano: int) -> CostView:
    """A sum, which there always is."""
    shown = cost_view(nano)
    assert shown is not None
    return shown


def nano_or_none(text: str | None) -> int | None:
    """Nano-dollars of checked text."""
    return None if text is None else nano_usd(text)


class NewGrantBody(Body):
    """Credit for a tenant. Lower priorities are drawn first, then what expires first."""

    tenant: str = Field(max_length=40)
    amount_usd: Usd
    priority: int = Field(default=0, ge=0, le=MAX_PRIORITY)
    note: str = Field(default="", max_length=200)
    starts_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None


class GrantView(BaseModel):
    """One grant of credit, and what it has left."""

    id: str
    object: Literal["credit.grant"] = "credit.grant"
    tenant: str
    amount: CostView
    remaining: CostView
    priority: int
    note: str
    starts_at: Timestamp
    expires_at: Timestamp | None
    voided_at: Timestamp | None
    created_at: Timestamp


def grant_view(grant: CreditGrant) -> GrantView:
    """A grant as the API shows it."""
    return GrantView(
        id=grant.id,
        tenant=grant.tenant,
        amount=amount(grant.amount_nano),
        remaining=amount(grant.remaining_nano),
        priority=grant.priority,
        note=grant.note,
        starts_at=at(grant.starts_ms),
        expires_at=at_or_none(grant.expires_ms),
        voided_at=at_or_none(grant.voided_ms),
        created_at=at(grant.created_ms),
    )


class CreditsView(BaseModel):
    """A tenant's credit: what its active grants have left, in the order of drawing. Where `billing` is prepaid, calls
    are admitted up to `remaining` less `held`."""

    object: Literal["credits"] = "credits"
    tenant: str
    billing: Literal["prepaid", "postpaid"]
    remaining: CostView
    held: CostView
    grants: list[GrantView]


def credits_view(tenant: str, balance: CreditBalance) -> CreditsView:
    """A balance as the API shows it."""
    return CreditsView(
        tenant=tenant,
        billing="prepaid" if balance.is_prepaid else "postpaid",
        remaining=amount(balance.remaining_nano),
        held=amount(balance.held_nano),
        grants=[grant_view(grant) for grant in balance.grants],
    )
