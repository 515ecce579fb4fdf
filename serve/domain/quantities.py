"""Kubernetes quantities (`500m`, `4`, `16Gi`) as numbers."""

import re
from decimal import ROUND_CEILING, Decimal
from typing import Any

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_SCALE = {"": Decimal(1), "m": Decimal("0.001")}
_SCALE |= {suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTP", 1)}
_SCALE |= {f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTP", 1)}


def quantity(value: Any) -> Decimal | None:
    """What `value`, a text or a number, stands for; None where it is no quantity."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    match = _QUANTITY.fullmatch(str(value))
    return None if match is None else Decimal(match[1]) * _SCALE[match[2] or ""]


def amount(text: str) -> Decimal:
    """`500m` -> 0.5, `4Gi` -> 4294967296. Raises ValueError where it is none."""
    found = quantity(text)
    if found is None:
        raise ValueError(f"{text[:80]!r} is no quantity, such as 500m or 4Gi")
    return found


def whole(text: str) -> int:
    """The same rounded up, as Kubernetes and Ray's autoscaler do. Raises ValueError."""
    return int(amount(text).to_integral_value(ROUND_CEILING))
