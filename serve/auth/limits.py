"""What a minute may hold: requests, tokens and images, of a key, a project or a tenant. None is no limit.

Only what is stored, and who may give how much; that it is kept is the gateway's affair.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from serve.domain.errors import InvalidRequest

MAX_PER_MINUTE = 10**12
"""No rate of the world is higher, and sums of it stay far inside 64 bits."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Whole numbers per minute; zero closes the door."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    images_per_minute: int | None = None

    def row(self) -> dict[str, int] | None:
        """As a table keeps them: None where there are none."""
        given = {name: value for name, value in self.items() if value is not None}
        return given or None

    def items(self) -> list[tuple[str, int | None]]:
        """(name, value) of every limit."""
        return [(field.name, getattr(self, field.name)) for field in fields(self)]

    def excess_over(self, other: "Limits") -> list[str]:
        """The limits that are wider here than in `other`."""
        pairs = zip(self.items(), other.items(), strict=True)
        return [name for (name, mine), (_, most) in pairs if most is not None and (mine is None or mine > most)]

    def filled_from(self, other: "Limits") -> "Limits":
        """These, and where there is none that of `other`."""
        pairs = zip(self.items(), other.items(), strict=True)
        return Limits(**{name: most if mine is None else mine for (name, mine), (_, most) in pairs})


UNLIMITED = Limits()


def limits_from(row: Mapping[str, Any] | None) -> Limits:
    """What `Limits.row` gave."""
    return Limits(**row) if row else UNLIMITED


def valid_limits(limits: Limits) -> Limits:
    """`limits`, if they make sense. Raises InvalidRequest with the field."""
    for name, value in limits.items():
        if value is not None and not 0 <= value <= MAX_PER_MINUTE:
            raise InvalidRequest(f"{name} is a whole number from 0 to {MAX_PER_MINUTE}.", param=f"limits.{name}")
    return limits
