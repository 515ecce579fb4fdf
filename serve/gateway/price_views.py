"""Prices, bills and estimates as the API shows them. Prices are spelled as in a model's document."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field

from serve.domain.documents import Prices
from serve.domain.moments import at
from serve.domain.task import Task
from serve.gateway.views import Body, CostView, Timestamp, cost_view
from serve.metering.prices.prices import Bill, Line, PriceVersion

MAX_QUANTITY = 10**15
Quantity = Annotated[int, Field(ge=0, le=MAX_QUANTITY)]


class QuantitiesBody(Body):
    """What a call consumed. `cached_prompt_tokens` is a part of `prompt_tokens`; what is left out is zero."""

    prompt_tokens: Quantity = 0
    cached_prompt_tokens: Quantity = 0
    completion_tokens: Quantity = 0
    images: Quantity = 0
    pixels: Quantity = 0
    steps: Quantity = 0
    pixel_steps: Quantity = 0
    input_images: Quantity = 0
    audio_ms: Quantity = 0
    video_ms: Quantity = 0
    gpu_ms: Quantity = 0


class PriceCheckBody(Body):
    """A charge to work out. `price` is a version, by default the one in force at `at`, which is now by default.
    `adapters` are named as `tenant/name`, or `name` for one's own."""

    model: str = Field(max_length=120)
    quantities: QuantitiesBody
    adapters: list[Annotated[str, Field(max_length=200)]] = Field(default_factory=list, max_length=8)
    task: Task | None = None
    at: AwareDatetime | None = None
    price: str | None = Field(default=None, max_length=80)


class PriceView(BaseModel):
    """A version of a model's prices. `tenant` is null where it is for every tenant."""

    id: str
    object: Literal["price"] = "price"
    model: str
    tenant: str | None
    effective_at: Timestamp
    created_at: Timestamp
    prices: dict[str, Any]


class ModelPriceView(BaseModel):
    """What a model costs the caller now; `price` is null where it is unpriced."""

    model: str
    price: PriceView | None


class LineView(BaseModel):
    """`quantity` of `what` at `rate` dollars per `unit`. Of a surcharge, `rate` is per cent, and `quantity` the
    nano-dollars that it is taken of."""

    what: str
    quantity: int
    unit: str
    rate: str
    nano_usd: int
    note: str


class BillView(BaseModel):
    """A charge, line by line; `cost` is the sum, null where the model is unpriced."""

    model: str
    price: PriceView | None
    lines: list[LineView]
    cost: CostView | None


class PlanView(BaseModel):
    """What a call would consume and cost at the most. `estimated_seconds` goes by how fast the model has been."""

    model: str
    task: Task
    quantities_at_most: dict[str, int]
    cost_at_most: CostView | None
    price: PriceView | None
    lines: list[LineView]
    estimated_seconds: float | None
    notes: list[str]


def spelled(prices: Prices) -> dict[str, Any]:
    """Prices as they are written in a document, without what has none."""
    return prices.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)


def price_view(version: PriceVersion) -> PriceView:
    """A version as the API shows it."""
    return PriceView(
        id=version.id,
        model=version.model,
        tenant=version.tenant or None,
        effective_at=at(version.effective_ms),
        created_at=at(version.created_ms),
        prices=spelled(version.prices),
    )


def line_view(line: Line) -> LineView:
    """A line as the API shows it."""
    return LineView(
        what=line.what, quantity=line.quantity, unit=line.unit, rate=line.rate, nano_usd=line.nano, note=line.note
    )


def bill_view(model: str, version: PriceVersion | None, bill: Bill | None) -> BillView:
    """A bill as the API shows it; without a version the model is unpriced."""
    return BillView(
        model=model,
        price=None if version is None else price_view(version),
        lines=[line_view(line) for line in bill.lines] if bill else [],
        cost=cost_view(None if bill is None else bill.total),
    )
