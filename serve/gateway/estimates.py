"""What a call would consume and cost at the most: what admission would reserve for it, by the same functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serve.catalog.cards import Card
from serve.domain.task import Task
from serve.domain.usage import Quantities
from serve.gateway.services import Services
from serve.metering.prices.ceiling import Size, ceiling
from serve.metering.prices.prices import PriceVersion, cost_at_most


@dataclass(frozen=True, slots=True)
class Estimate:
    """`cost_nano` is None where the model is unpriced."""

    ceiling: Quantities
    price: PriceVersion | None
    cost_nano: int | None


@dataclass(frozen=True, slots=True)
class Planned:
    """A call that could be made. `inputs` are valid for the card, `adapters` immutable ids. `seconds` is how long it
    may take, `source_size` the size of the picture that it starts from; None where that is not known."""

    card: Card
    task: Task
    inputs: Mapping[str, Any]
    adapters: Sequence[str] = ()
    seconds: float | None = None
    source_size: Size | None = None


async def estimate(services: Services, tenant: str, planned: Planned) -> Estimate:
    """The bounds of `planned`, by the prices that are in force now."""
    price = await services.prices.current(planned.card.name, tenant)
    bound = ceiling(
        planned.task,
        planned.inputs,
        planned.card.document.spec,
        seconds=planned.seconds,
        source_size=planned.source_size,
    )
    return Estimate(bound, price, None if price is None else cost_at_most(bound, price, planned.adapters))
