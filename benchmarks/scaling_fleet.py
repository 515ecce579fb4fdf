"""A fleet of GPUs on paper: models' replicas come, serve and go as a policy asks; what waited is counted exactly.

Calls are a fluid: of N calls in front of n replicas as many run as there are places, each for the time that it takes
in a full batch. Time goes in steps of a second; policies are asked every few. A replica that is asked for takes a GPU
at once, serves when its start is over, and gives the GPU back when it is let go; those that start go first. When the
GPUs are out, models that ask wait for their turn, and turns go round.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.scaling_demand import Array, Demand
from serve.serving.scaling import MEMORY_SECONDS

CONTROL_SECONDS = 5
LAST_OF_A_CALL = 0.05
"""Calls, below which a model's fluid has run dry."""


@dataclass(frozen=True, slots=True)
class ModelNow:
    """What a policy may know of a model."""

    now: float
    running: int
    wanted: int
    ongoing: float
    """Calls that run or wait."""
    load: float
    backlog_seconds: float
    inflow: float
    start_seconds: float


class Policy(Protocol):
    """Decides for one model."""

    def replicas(self, model: ModelNow) -> int:
        """To ask for now."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """`waits` are seconds of every call until it had a place, weighted by `calls`; both flat."""

    gpu_hours: float
    busy_share: float
    num_starts: int
    calls: Array
    waits: Array

    def over(self, seconds: float) -> float:
        """Share of calls that waited for longer."""
        return float(self.calls[self.waits > seconds].sum() / max(self.calls.sum(), 1.0))

    def percentile(self, rank: float) -> float:
        """Seconds that this share of calls waited at the most."""
        order = np.argsort(self.waits)
        done = np.cumsum(self.calls[order])
        return float(self.waits[order][np.searchsorted(done, rank / 100 * done[-1])]) if len(done) else 0.0


class Fleet:
    """One run of a demand against a policy."""

    def __init__(self, demand: Demand, num_gpus: int, new_policy: Callable[[int], Policy]) -> None:
        """`new_policy(model index)` makes what decides for that model."""
        self._demand, self._num_slots = demand, num_gpus * demand.replicas_per_gpu
        self._policies = [new_policy(index) for index in range(demand.num_models)]
        self._running = np.zeros(demand.num_models)
        self._starting: list[list[float]] = [[] for _ in range(demand.num_models)]
        self._waiting, self._serving = np.zeros(demand.num_models), np.zeros(demand.num_models)
        self._inflow = np.zeros(demand.num_models)
        self._held = np.zeros(demand.num_models)
        self._turn = self._num_starts = 0

    def run(self) -> Outcome:
        """Play the whole demand."""
        demand, seconds = self._demand, len(self._demand.calls)
        admitted = np.zeros_like(demand.calls)
        held = busy = 0.0
        for second in range(seconds):
            self._become_ready(second)
            admitted[second] = self._serve(demand.calls[second])
            held += self._held.sum()
            busy += self._serving.sum() and (self._serving / demand.places).sum()
            if second % CONTROL_SECONDS == 0:
                self._control(float(second))
        calls, waits = waits_of(demand.calls, admitted)
        gpu_hours = float(held) / 3600 / demand.replicas_per_gpu
        return Outcome(gpu_hours, float(busy) / max(float(held), 1.0), self._num_starts, calls, waits)

    def _become_ready(self, second: int) -> None:
        for index in np.flatnonzero(self._held > self._running):
            starting = self._starting[index]
            while starting and starting[0] <= second:
                starting.pop(0)
                self._running[index] += 1

    def _serve(self, arriving: Array) -> Array:
        """A second of all models: finish, admit; the calls that were admitted."""
        demand = self._demand
        self._inflow += (arriving * demand.work - self._inflow) / MEMORY_SECONDS
        places = self._running * demand.places
        self._serving -= np.minimum(self._serving, self._serving / (demand.work * demand.places))
        self._waiting += arriving
        admitted = np.minimum(self._waiting, np.maximum(places - self._serving, 0.0))
        self._serving += admitted
        self._waiting -= admitted
        self._serving[self._serving < LAST_OF_A_CALL] = 0.0
        return admitted

    def _control(self, now: float) -> None:
        """Ask the policies of all models that have anything, each time beginning with another one."""
        active = np.flatnonzero((self._held > 0) | (self._waiting + self._serving > 1e-9))
        free = self._num_slots - int(self._held.sum())
        self._turn += 1
        for index in np.roll(active, -self._turn):
            wanted = self._policies[index].replicas(self._seen(index, now))
            change = min(wanted - int(self._held[index]), free)
            if change > 0:
                self._start(index, change, now)
            elif change < 0:
                self._stop(index, -change)
            free -= change

    def _seen(self, index: int, now: float) -> ModelNow:
        demand = self._demand
        return ModelNow(
            now=now,
            running=int(self._running[index]),
            wanted=int(self._held[index]),
            ongoing=float(self._waiting[index] + self._serving[index]),
            load=float(self._serving[index] / demand.places[index]),
            backlog_seconds=float(self._waiting[index] * demand.work[index]),
            inflow=float(self._inflow[index]),
            start_seconds=float(demand.start_seconds[index]),
        )

    def _start(self, index: int, number: int, now: float) -> None:
        ready = now + float(self._demand.start_seconds[index])
        self._starting[index] += [ready] * number
        self._held[index] += number
        self._num_starts += number

    def _stop(self, index: int, number: int) -> None:
        """What starts goes first; what a running one serves is finished elsewhere, as the fluid has it."""
        starting = self._starting[index]
        dropped = min(number, len(starting))
        del starting[len(starting) - dropped :]
        self._running[index] -= number - dropped
        self._held[index] -= number


def waits_of(arrived: Array, admitted: Array) -> tuple[Array, Array]:
    """(calls, seconds waited) of each second's arrivals, first come first served. Both are [seconds, models].

    What was never admitted waited until the end.
    """
    calls, waits = [], []
    for index in range(arrived.shape[1]):
        came = np.flatnonzero(arrived[:, index])
        due = np.cumsum(arrived[:, index])[came]
        done = np.cumsum(admitted[:, index])
        at = np.searchsorted(done, due - 1e-6)
        calls.append(arrived[came, index])
        waits.append((np.minimum(at, len(done)) - came).astype(np.float64))
    return np.concatenate(calls), np.concatenate(waits)
