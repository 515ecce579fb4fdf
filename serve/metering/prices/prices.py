"""What a call costs: one pure function of quantities, the price version at admission, and the call's adapters.

`cost_of` is the sum of `bill`'s lines: shown by the gateway, reserved against by admission, booked by the ledger.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from serve.domain.documents import Prices
from serve.domain.money import NanoUsd, shown
from serve.domain.usage import PriceId, Quantities
from serve.metering.prices.tariff import NO_FREE, Rate, Tariff


@dataclass(frozen=True)
class PriceVersion:
    """The prices of a model from `effective_ms` (Unix) on; it never changes. `tenant` is empty where it is for all.

    `id` is the digest of everything else.
    """

    id: PriceId
    model: str
    tenant: str
    effective_ms: int
    prices: Prices
    created_ms: int = 0
    created_by: str = ""

    @cached_property
    def tariff(self) -> Tariff:
        """The prices, compiled at the first use."""
        return Tariff(self.prices)

    @cached_property
    def is_empty(self) -> bool:
        """Whether nothing has a price: the model is unpriced from then on."""
        rates = self.prices.model_dump(exclude={"effective_from", "free_per_month"}, exclude_none=True)
        return not any(value not in ([], {}) for value in rates.values())


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a bill: `quantity` of `what` at `rate`, in dollars per `unit`, are `nano`; `note` is the sentence.

    Of a surcharge, `rate` is per cent and `quantity` the nano-dollars that it is taken of.
    """

    what: str
    quantity: int
    unit: str
    rate: str
    nano: NanoUsd
    note: str


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of one charge. `total` is their sum."""

    lines: tuple[Line, ...]

    @property
    def total(self) -> NanoUsd:
        return NanoUsd(sum(line.nano for line in self.lines))


def price_id(
    model: str, tenant: str, effective_ms: int, prices: Prices, created_ms: int, created_by: str = ""
) -> PriceId:
    """`sha256:...` of a version's whole content."""
    content = [model, tenant, effective_ms, prices.model_dump(mode="json", by_alias=True), created_ms, created_by]
    told = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return PriceId("sha256:" + hashlib.sha256(told.encode()).hexdigest())


def cost_of(
    quantities: Quantities, version: PriceVersion, adapters: Sequence[str] = (), free: Mapping[str, int] = NO_FREE
) -> NanoUsd:
    """Nano-dollars for `quantities`, of which the units in `free` are not charged. `adapters` are immutable ids.

    Raises:
        ValueError: a quantity is negative. A correction's cost is the difference of two costs.
    """
    tariff = version.tariff
    total: int = sum([rate.of(quantity) for rate, quantity in tariff.charges(quantities, free)])
    if adapters:
        total += sum([rate.of(total) for rate in tariff.surcharges(adapters)])
    return NanoUsd(total)


def bill(
    quantities: Quantities, version: PriceVersion, adapters: Sequence[str] = (), free: Mapping[str, int] = NO_FREE
) -> Bill:
    """The same charge, line by line."""
    lines = [_line(rate, quantity) for rate, quantity in version.tariff.charges(quantities, free)]
    subtotal = sum(line.nano for line in lines)
    lines += [_line(rate, subtotal) for rate in version.tariff.surcharges(adapters)]
    return Bill(tuple(lines))


def cost_at_most(bound: Quantities, version: PriceVersion, adapters: Sequence[str] = ()) -> NanoUsd:
    """The highest cost of any quantities within `bound` whose images are no larger than `bound`'s.

    This is not always the cost of `bound` itself: a long prompt may come into a cheaper tier, and cached tokens and
    large images may have the lower price.
    """
    subtotal = version.tariff.at_most(bound)
    return NanoUsd(subtotal + sum(rate.of(subtotal) for rate in version.tariff.surcharges(adapters)))


def _line(rate: Rate, quantity: int) -> Line:
    nano = rate.of(quantity)
    return Line(rate.what, quantity, rate.unit, rate.usd, nano, _sentence(rate, quantity, nano))


def _sentence(rate: Rate, quantity: int, nano: int) -> str:
    if rate.unit == "per cent":
        said = f"{rate.usd} % of ${shown(quantity)} for the {rate.what}"
    else:
        about = f" ({rate.note})" if rate.note else ""
        said = f"{quantity} {rate.what.replace('_', ' ')}{about} at ${rate.usd} per {rate.unit}"
    exact = rate.exactly(quantity)
    rounding = "" if exact == nano else f", rounded from {_decimal(exact)} nano-dollars"
    return f"{said}: ${shown(nano)}{rounding}"


def _decimal(exact: Fraction) -> str:
    """All its digits: the denominators of decimal prices have no other primes than 2 and 5."""
    num_digits = 0
    while (exact.numerator * 10**num_digits) % exact.denominator:
        num_digits += 1
    digits = str(exact.numerator * 10**num_digits // exact.denominator).rjust(num_digits + 1, "0")
    return f"{digits[:-num_digits]}.{digits[-num_digits:]}" if num_digits else digits
