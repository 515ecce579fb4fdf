"""Demand to scale for: calls of many models, second by second, after what was published of real services.

    bursts      one busy model. Calls come in bursts: the rate wanders, within a minute or more, between values drawn
                every five minutes from a gamma distribution of shape 1. Gamma is what BurstGPT models the load of a
                hosted language model by (Wang et al., arXiv:2401.17644), far burstier than Poisson
    diurnal     twenty models of an office: the rate follows the hours, four times as high at noon as at night, as in
                SageServe's study of an office suite (Jaiswal et al., arXiv:2502.14617), with milder bursts
    long_tail   a thousand models whose popularity falls as 1 / rank (Zipf), most of them called in a session now and
                then, as Shahrad et al. found of functions (Serverless in the Wild, USENIX ATC 2020); a replica takes a
                quarter of a GPU

A call is a lognormal amount of work, as lengths of answers are (Azure's traces: Patel et al., ISCA 2024). What is
drawn comes from a seed and is the same for all policies.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Random = np.random.Generator

BURST_SECONDS = 300
RAMP_SECONDS = 60
SESSION_SECONDS = 300
BURST_SHAPE = 1.0
MILD_SHAPE = 8.0


@dataclass(frozen=True, slots=True)
class Demand:
    """`calls` [seconds, models] that arrive. `work` is replica-seconds of one call, by model; `places` are calls that a
    replica runs at the same time, `start_seconds` how long one takes to come."""

    name: str
    calls: Array
    work: Array
    places: Array
    start_seconds: Array
    replicas_per_gpu: int = 1

    @property
    def num_models(self) -> int:
        return int(self.calls.shape[1])

    @property
    def mean_replicas(self) -> float:
        """That all of the work would keep busy."""
        return float((self.calls.mean(axis=0) * self.work).sum())


def bursts(seconds: int, replicas: float, random: Random) -> Demand:
    """One model whose work would keep `replicas` busy on average."""
    return _demand("bursts", np.array([replicas]), seconds, random, _gamma(seconds, 1, BURST_SHAPE, random))


def diurnal(seconds: int, replicas: float, random: Random, num_models: int = 20) -> Demand:
    """One day, whatever its length, of `num_models`."""
    hours = np.arange(seconds)[:, None] / seconds
    wave = 1 - 0.6 * np.cos(2 * np.pi * (hours + random.uniform(-0.06, 0.06, num_models)))
    shares = random.dirichlet(np.full(num_models, 2.0)) * replicas
    return _demand("diurnal", shares, seconds, random, wave * _gamma(seconds, num_models, MILD_SHAPE, random))


def long_tail(seconds: int, replicas: float, random: Random, num_models: int = 1000) -> Demand:
    """`num_models` by Zipf; those that are called seldom are called in sessions of minutes."""
    popularity = 1 / np.arange(1, num_models + 1)
    shares = popularity / popularity.sum() * replicas
    pace = _gamma(seconds, num_models, BURST_SHAPE, random)
    awake = np.clip(4 * shares, 0.004, 1.0)
    sessions = random.random((seconds // SESSION_SECONDS + 1, num_models)) < awake
    pace *= np.repeat(sessions / awake, SESSION_SECONDS, axis=0)[:seconds]
    return replace(_demand("long_tail", shares, seconds, random, pace), replicas_per_gpu=4)


TRACES: dict[str, Callable[[int, float, Random], Demand]] = {
    "bursts": bursts,
    "diurnal": diurnal,
    "long_tail": long_tail,
}


def _gamma(seconds: int, num_models: int, shape: float, random: Random) -> Array:
    """[seconds, models] of mean 1: level within a burst, and from one to the next by a ramp."""
    drawn = random.gamma(shape, 1 / shape, (seconds // BURST_SECONDS + 2, num_models))
    into = np.arange(seconds) % BURST_SECONDS
    mixed = np.clip((into - (BURST_SECONDS - RAMP_SECONDS)) / RAMP_SECONDS, 0.0, 1.0)[:, None]
    at = np.arange(seconds) // BURST_SECONDS
    return np.asarray(drawn[at] * (1 - mixed) + drawn[at + 1] * mixed)


def _demand(name: str, shares: Array, seconds: int, random: Random, pace: Array) -> Demand:
    num_models = len(shares)
    work = random.lognormal(np.log(0.4), 0.8, num_models)
    calls = random.poisson(pace * (shares / work)).astype(np.float64)
    places = random.choice([4.0, 8.0, 16.0, 32.0], num_models)
    start_seconds = random.choice([8.0, 20.0, 45.0], num_models)
    return Demand(name, calls, work, places, start_seconds)
