"""Medians, percentiles, ratios and differences of rounds, each with a 95 % bootstrap interval.

Rounds are what is drawn anew, never single requests: requests of a round share a server, a neighbour, a temperature,
and intervals that take them for independent are too narrow. Few rounds give wide intervals, and so they should.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

NUM_RESAMPLES = 2000
_SEED = 20_240_229

Rounds = Sequence[Sequence[float]]
"""Samples by round."""
Statistic = Callable[[Any], Any]


def percentile(rank: float) -> Statistic:
    """The percentile of pooled samples."""
    return lambda samples: float(np.percentile(samples, rank))


def figure(rounds: Rounds, statistic: Statistic, scale: float = 1.0, digits: int = 3) -> dict[str, float]:
    """{"value", "low", "high"}: `statistic` of all samples, and of rounds drawn with replacement."""
    pools = [np.asarray(samples, dtype=float) * scale for samples in rounds]
    draws = [statistic(np.concatenate([pools[i] for i in drawn])) for drawn in _draws(len(pools))]
    return _interval(statistic(np.concatenate(pools)), draws, digits)


def compared(
    ours: Rounds, theirs: Rounds, statistic: Statistic, by: Callable[[float, float], float], digits: int = 4
) -> dict[str, float]:
    """The same for `by(statistic(ours), statistic(theirs))` of each round: rounds are pairs, measured one by the other.

    The value is the median over rounds, so that one round that was disturbed does not decide.
    """
    pairs = np.array(
        [by(statistic(np.asarray(a)), statistic(np.asarray(b))) for a, b in zip(ours, theirs, strict=True)]
    )
    draws = [float(np.median(pairs[drawn])) for drawn in _draws(len(pairs))]
    return _interval(float(np.median(pairs)), draws, digits)


def ratio(ours: float, theirs: float) -> float:
    """For `compared`."""
    return ours / theirs


def difference(ours: float, theirs: float) -> float:
    """For `compared`."""
    return ours - theirs


def orders(names: Sequence[str], num_rounds: int) -> list[list[str]]:
    """A B, B A, A B, ...: drift that is steady over two rounds cancels out."""
    return [list(names) if index % 2 == 0 else list(reversed(names)) for index in range(num_rounds)]


def _draws(num_rounds: int) -> Any:
    return np.random.default_rng(_SEED).integers(0, num_rounds, (NUM_RESAMPLES, num_rounds))


def _interval(value: float, draws: Sequence[float], digits: int) -> dict[str, float]:
    low, high = np.percentile(draws, [2.5, 97.5])
    return {"value": round(float(value), digits), "low": round(float(low), digits), "high": round(float(high), digits)}
