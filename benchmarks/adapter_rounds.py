"""Blocks of calls with adapters, played to each system in turn: everything waits at once, so nobody idles."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.adapter_calls import AdapterCall, Demand, adapter_calls
from benchmarks.adapter_rivals import System
from benchmarks.picture_calls import Pixels

OURS, OURS_PLAIN = "step_batches", "step_batches_without"
LOADED, MIXED, MULTIPLEXED = "loaded_by_call", "peft_mixed_batches", "multiplexed"
SERIAL_PLAIN, STATIC_PLAIN = "serial_without", "static_without"
BASELINES: Final[Mapping[str, str]] = {LOADED: SERIAL_PLAIN, MULTIPLEXED: SERIAL_PLAIN, MIXED: STATIC_PLAIN}
"""What each rival is without adapters."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Block:
    """What a system made of the first calls of a round."""

    seconds: float
    pictures: Sequence[Pixels]

    @property
    def pictures_per_second(self) -> float:
        return len(self.pictures) / self.seconds


Played = dict[str, dict[str, list[Block]]]
"""Blocks by demand and system, one for each round. Rivals without adapters are played once a round: for all demands."""


def played(system: System, calls: Sequence[AdapterCall]) -> Block:
    """One block."""
    began = time.perf_counter()
    pictures = system.paint(calls)
    return Block(time.perf_counter() - began, pictures)


def play_rounds(
    systems: Mapping[str, System],
    demands: Sequence[Demand],
    num_calls: Mapping[str, int],
    num_rounds: int,
    steps: int,
    seed: int,
) -> Played:
    """Every demand in each round, to systems with adapters and to ours without; the rivals without, once a round."""
    found: Played = {demand.name: {} for demand in demands}
    most = max(num_calls.values())
    for index in range(num_rounds):
        once = _baselines(systems, num_calls, adapter_calls(f"{seed}/{index}", most, None, steps))
        for turn, demand in enumerate(demands):
            calls = adapter_calls(f"{seed}/{index}/{demand.name}", most, demand, steps)
            names = [OURS, OURS_PLAIN, LOADED, MULTIPLEXED, MIXED]
            blocks = {
                name: played(systems[name], calls[: num_calls[name]])
                for name in (names if (index + turn) % 2 == 0 else reversed(names))
            }
            for name, block in {**blocks, **once}.items():
                found[demand.name].setdefault(name, []).append(block)
            _log(index, demand, blocks)
    return found


def _baselines(
    systems: Mapping[str, System], num_calls: Mapping[str, int], calls: Sequence[AdapterCall]
) -> dict[str, Block]:
    names = sorted(set(BASELINES.values()))
    return {name: played(systems[name], calls[: num_calls[name]]) for name in names}


def _log(index: int, demand: Demand, blocks: Mapping[str, Block]) -> None:
    told = ", ".join(f"{name} {block.pictures_per_second:.2f}" for name, block in sorted(blocks.items()))
    logger.info("round %d, adapters %s, pictures a second: %s", index + 1, demand.name, told)
