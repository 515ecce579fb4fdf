"""Errors of the server, as it says them."""

from collections.abc import Sequence
from typing import Any

from fakes.strict.kinds import Kind

Manifest = dict[str, Any]


class Refused(Exception):
    """A request that is answered with a Status."""

    def __init__(self, code: int, reason: str, message: str, causes: Sequence[Manifest] = ()) -> None:
        super().__init__(code, reason, message, causes)
        self.code, self.reason, self.message, self.causes = code, reason, message, list(causes)

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"

    def as_status(self) -> Manifest:
        """The answer's body."""
        status: Manifest = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"code": self.code, "reason": self.reason, "message": self.message}
        return status | ({"details": {"causes": self.causes}} if self.causes else {})


def not_found(kind: Kind, name: str) -> Refused:
    """There is no such object."""
    return Refused(404, "NotFound", f'{kind.qualified} "{name}" not found')


def conflict(kind: Kind, name: str, why: str) -> Refused:
    """Somebody else came first."""
    return Refused(409, "Conflict", f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}')


def invalid(kind: Kind, name: str, told: Sequence[str]) -> Refused:
    """The object breaks rules."""
    said = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    qualified = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    causes = [{"reason": "FieldValueInvalid", "message": one} for one in told]
    return Refused(422, "Invalid", f'{qualified} "{name}" is invalid: {said}', causes)
