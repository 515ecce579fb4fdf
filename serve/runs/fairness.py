"""Whose turn it is: a pure choice among tenants, and the account it is made from.

Weighted deficit in predicted milliseconds. A tenant with fewer running runs goes first; among equals, the one that has
been given the least time; among those, the one served longest ago. How much a tenant has waiting never matters, so
ten thousand runs of one do not delay another's one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_FIRST_GUESS_MS = 1000.0
"""What a run of a model that was never seen to finish is taken to cost."""
_WEIGHT_OF_NEWEST = 0.2
"""Share of the newest measurement in a model's predicted milliseconds."""
_MAX_REMEMBERED = 10_000
"""Models and tenants remembered; beyond it the oldest are forgotten, which costs a little fairness and no memory."""


@dataclass(frozen=True, slots=True)
class Claimant:
    """A tenant with work waiting: its running runs, the milliseconds it was given, and when it was served last."""

    tenant: str
    num_running: int = 0
    given_ms: float = 0.0
    last_turn: int = 0


def choose(claimants: Iterable[Claimant]) -> str | None:
    """The tenant whose turn it is; None when nobody waits."""
    first = min(claimants, key=lambda c: (c.num_running, c.given_ms, c.last_turn, c.tenant), default=None)
    return first.tenant if first else None


@dataclass(slots=True)
class Account:
    """What tenants were given by this runner. Every runner keeps its own: each is fair, so their sum is.

    Milliseconds are charged as predicted when a run is claimed, and corrected when it ends.
    """

    _given_ms: dict[str, float] = field(default_factory=dict)
    _last_turn: dict[str, int] = field(default_factory=dict)
    _expected_ms: dict[str, float] = field(default_factory=dict)
    _charges: dict[str, tuple[str, str, float]] = field(default_factory=dict)
    _waiting: frozenset[str] = frozenset()
    _floor_ms: float = 0.0
    _num_turns: int = 0

    def claimants(self, waiting: Iterable[str], running: Mapping[str, int]) -> list[Claimant]:
        """The waiting tenants as `choose` wants them.

        One that comes new, or back, starts no lower than the least served that waited on: absence earns no credit.
        """
        names = frozenset(waiting)
        waited_on = [self._given_ms.get(name, 0.0) for name in names & self._waiting]
        self._floor_ms = max(self._floor_ms, min(waited_on, default=0.0))
        for name in names - self._waiting:
            self._given_ms[name] = max(self._floor_ms, self._given_ms.get(name, 0.0))
        self._waiting = names
        return [
            Claimant(name, running.get(name, 0), self._given_ms.get(name, 0.0), self._last_turn.get(name, 0))
            for name in names
        ]

    def charge(self, run_id: str, tenant: str, target: str) -> None:
        """The run was claimed."""
        predicted_ms = self._expected_ms.get(target, _FIRST_GUESS_MS)
        self._num_turns += 1
        self._last_turn[tenant] = self._num_turns
        self._given_ms[tenant] = self._given_ms.get(tenant, 0.0) + predicted_ms
        self._charges[run_id] = (tenant, target, predicted_ms)
        for remembered in (self._given_ms, self._last_turn, self._charges):
            _forget_oldest(remembered)

    def settle(self, run_id: str, took_ms: float, *, is_whole: bool) -> None:
        """It ended: correct the charge. Only a run that was answered whole teaches what its model takes."""
        tenant, target, charged_ms = self._charges.pop(run_id, ("", "", 0.0))
        if tenant in self._given_ms:
            self._given_ms[tenant] += took_ms - charged_ms
        if target and is_whole:
            known = self._expected_ms.get(target, took_ms)
            self._expected_ms[target] = known + _WEIGHT_OF_NEWEST * (took_ms - known)
            _forget_oldest(self._expected_ms)


def _forget_oldest(entries: dict[str, Any]) -> None:
    if len(entries) > _MAX_REMEMBERED:
        del entries[next(iter(entries))]
