"""Money: whole nano-dollars, and the one place where anything is rounded.

A rate is an exact fraction of a dollar per unit. A line of a bill is quantity times rate, rounded once to a
nano-dollar, half to even; a bill is the sum of its lines. Nothing is rounded again, so sums are exact in any order.
"""

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, NewType

from pydantic import AfterValidator

NanoUsd = NewType("NanoUsd", int)
"""Billionths of a US dollar."""

NANO_PER_USD = 10**9
MAX_DIGITS = 18
"""After the point of a price: a picodollar per million of something still fits."""
MAX_USD = 10**6
"""Of one price or budget: a million dollars each leaves sums far from 64 bits."""


def rounded(nano: Fraction) -> NanoUsd:
    """The one rounding rule: to a whole nano-dollar, half to even."""
    return rounded_quotient(nano.numerator, nano.denominator)


def rounded_quotient(numerator: int, denominator: int) -> NanoUsd:
    """The same of a fraction that is given in two parts, not reduced; `denominator` is positive."""
    whole, rest = divmod(numerator, denominator)
    twice = 2 * rest
    return NanoUsd(whole + (twice > denominator or (twice == denominator and whole & 1)))


def usd(text: str) -> Fraction:
    """Dollars from a decimal number as text.

    Raises:
        ValueError: not a plain decimal number, negative, or out of bounds.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"an amount is a decimal number of US dollars as text: {text[:40]!r}") from None
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or "e" in text.lower() or "_" in text or text != text.strip():
        raise ValueError(f"an amount is a plain decimal number of US dollars: {text[:40]!r}")
    if amount < 0 or amount > MAX_USD or -exponent > MAX_DIGITS:
        raise ValueError(f"an amount is from 0 to {MAX_USD} dollars, with at most {MAX_DIGITS} decimals: {text[:40]!r}")
    return Fraction(amount)


def nano_usd(text: str) -> NanoUsd:
    """Whole nano-dollars from dollars as text. Raises ValueError, also for parts of a nano-dollar."""
    nano = usd(text) * NANO_PER_USD
    if nano.denominator != 1:
        raise ValueError(f"an amount has at most 9 decimals: {text[:40]!r}")
    return NanoUsd(int(nano))


def shown(nano: int) -> str:
    """Dollars as text with every digit and no exponent: `0.00000123`, `-12.5`, `0`."""
    sign, nano = ("-", -nano) if nano < 0 else ("", nano)
    whole, part = divmod(nano, NANO_PER_USD)
    return f"{sign}{whole}.{part:09d}".rstrip("0").rstrip(".")


def cost_shown(nano: int | None) -> dict[str, int | str] | None:
    """A cost as answers show it; None for what is unpriced, which is not the same as free."""
    return None if nano is None else {"nano_usd": nano, "usd": shown(nano)}


def _checked(text: str) -> str:
    usd(text)
    return text


UsdText = Annotated[str, AfterValidator(_checked)]
"""Dollars as a decimal text, exact: a rate in a document."""
