"""Blocks of calls, played to each system in turn."""

import logging
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import figures
from benchmarks.painters import Painter, PipelineBatches, play
from benchmarks.picture_calls import GUIDANCE, Answer, Kind, PictureCall, kinds, poisson_calls
from benchmarks.picture_report import Blocks

ALONE_STEPS = (4, 10, 25, 50)
logger = logging.getLogger(__name__)


def serial_seconds(pipeline: Any, side: int, repeats: int = 2) -> dict[Kind, float]:
    """How long the stock pipeline takes for each kind of call in the mix: the best of some, after a warm-up."""
    painter = PipelineBatches(pipeline, side, side)
    try:
        _seconds(painter, 4)
        return {
            (steps, guided): min(_seconds(painter, steps, is_guided=guided) for _ in range(repeats))
            for steps, guided in kinds()
        }
    finally:
        painter.close()


def alone_seconds(painter: Painter, steps: Sequence[int] = ALONE_STEPS) -> dict[str, float]:
    """Seconds of guided calls that nothing runs beside, by steps: the median of three, after a warm-up."""
    _seconds(painter, steps[0])
    return {str(count): statistics.median(_seconds(painter, count) for _ in range(3)) for count in steps}


def _seconds(painter: Painter, steps: int, is_guided: bool = True) -> float:
    call = PictureCall(0, 0.0, "a red circle on a white background", steps, GUIDANCE if is_guided else 1.0, seed=1)
    [answer] = play(painter, [call])
    if answer.error:
        raise RuntimeError(answer.error)
    return answer.seconds


def play_blocks(
    painters: Mapping[str, Painter], capacity: float, loads: Sequence[float], num_rounds: int, seconds: float, seed: int
) -> Blocks:
    """`num_rounds` blocks of every system at every load, of `capacity` calls a second; the same calls for all."""
    blocks: Blocks = {load: {name: [] for name in painters} for load in loads}
    for index, order in enumerate(figures.orders(list(painters), num_rounds)):
        for load in loads:
            calls = poisson_calls(f"{seed}/{index}/{load}", load * capacity, seconds)
            for name in order:
                answers = play(painters[name], calls)
                blocks[load][name].append(answers)
                _log(index, load, name, answers)
    return blocks


def _log(index: int, load: float, name: str, answers: Sequence[Answer]) -> None:
    p50, p95 = np.percentile([answer.seconds for answer in answers], [50, 95])
    told = (index + 1, load, name, len(answers), p50, p95)
    logger.info("round %d, load %.1f, %s: %d pictures, p50 %.2f s, p95 %.2f s", *told)
