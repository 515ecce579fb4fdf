"""Kubernetes quantities as numbers."""

from decimal import ROUND_CEILING, Decimal

_FACTORS = {
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


def amount(quantity: str) -> Decimal:
    """`500m` -> 0.5, `4Gi` -> 4294967296. Raises decimal.InvalidOperation where it is none."""
    number = quantity.rstrip("kmMGTi")
    return Decimal(number) * _FACTORS.get(quantity[len(number) :], Decimal(1))


def whole(quantity: str) -> int:
    """Rounded up, as Kubernetes and Ray's autoscaler do."""
    return int(amount(quantity).to_integral_value(ROUND_CEILING))
