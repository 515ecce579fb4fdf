"""From answers to figures: throughput, latency by the size of calls, joining, equality, the aims, and who won where."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from benchmarks import figures
from benchmarks.picture_calls import SHORT, SIZES, Answer
from deployments.engines.diffusion.capacity import StepTimes

OURS, SERIAL, STATIC = "step_batches", "serial_pipeline", "static_batches"
RIVALS: Final = (SERIAL, STATIC)
THROUGHPUT_AIM: Final = 0.95
AHEAD_FROM_LOAD: Final = 0.7
MAX_JOIN_STEPS: Final = 1
MAX_LEVELS: Final = 1
"""Of 255: two pictures are the same if no channel of any pixel differs by more."""
_RANKS: Final = {"p50": 50, "p95": 95, "p99": 99}

Rounds = Sequence[Sequence[Answer]]
Blocks = dict[float, dict[str, list[list[Answer]]]]
"""Answers by load and system, one list for each round."""
Alone = Mapping[str, Mapping[str, float]]
"""Seconds of single calls by system and steps."""


def report(blocks: Blocks, alone: Alone, times: StepTimes) -> dict[str, Any]:
    """The part of a result that is about the calls."""
    loads = {str(load): at_load(by_system) for load, by_system in blocks.items()}
    return {
        "aims": aims(loads),
        "where_rivals_win": {"cases": losses(loads), "why": reasons(alone, times)},
        "alone_seconds": _alone(alone),
        "same_pictures": same_pictures(blocks),
        "errors": {name: _errors(blocks, name) for name in (OURS, *RIVALS)},
        "loads": loads,
    }


def at_load(by_system: Mapping[str, Rounds]) -> dict[str, Any]:
    """Figures of the blocks of one load."""
    by_system = {name: _finished(rounds) for name, rounds in by_system.items()}
    speeds = {name: [[pictures_per_second(answers)] for answers in rounds] for name, rounds in by_system.items()}
    better = [[max(speeds[name][index][0] for name in RIVALS)] for index in range(len(speeds[OURS]))]
    return {
        "calls": sum(map(len, by_system[OURS])),
        "pictures_per_second": {name: _median(rounds) for name, rounds in speeds.items()},
        "by_better_rival": figures.compared(speeds[OURS], better, figures.percentile(50), figures.ratio, digits=3),
        "latency_seconds": {size: _latency(by_system, size) for size in ("all", *SIZES)},
        "wait_seconds": {name: _percentiles(rounds, lambda a: a.waited) for name, rounds in by_system.items()},
        "join": joining(by_system[OURS]),
        "static_batch_size": round(float(np.mean([a.batch_size for r in by_system[STATIC] for a in r])), 2),
    }


def _finished(rounds: Rounds) -> list[list[Answer]]:
    return [[answer for answer in answers if not answer.error] for answers in rounds]


def pictures_per_second(answers: Sequence[Answer]) -> float:
    """From the first arrival to the last answer; 0 without answers."""
    if not answers:
        return 0.0
    return len(answers) / (max(a.finished_at for a in answers) - min(a.arrived_at for a in answers))


def _median(rounds: figures.Rounds) -> dict[str, float]:
    return figures.figure(rounds, figures.percentile(50))


def _latency(by_system: Mapping[str, Rounds], size: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, rounds in by_system.items():
        chosen = [[a for a in answers if size in ("all", a.call.size)] for answers in rounds]
        found[name] = _percentiles(chosen, lambda a: a.seconds)
    return found


def _percentiles(rounds: Rounds, of: Callable[[Answer], float]) -> dict[str, Any]:
    """Of the answers of all rounds together; p95 with its interval. Empty where there are none."""
    samples = [[of(answer) for answer in answers] for answers in rounds if answers]
    if not samples:
        return {}
    pooled = [value for values in samples for value in values]
    found: dict[str, Any] = {name: round(float(np.percentile(pooled, rank)), 3) for name, rank in _RANKS.items()}
    interval = figures.figure(samples, figures.percentile(95))
    return found | {"p95_between": [interval["low"], interval["high"]]}


def joining(rounds: Rounds) -> dict[str, Any]:
    """How long calls waited for their first step; those that found room on their arrival apart."""
    every = [answer for answers in rounds for answer in answers if answer.joined_after is not None]
    return {"with_a_row_free": _joined([a for a in every if a.had_room]), "all": _joined(every)}


def _joined(answers: Sequence[Answer]) -> dict[str, Any]:
    if not answers:
        return {"calls": 0}
    steps = [answer.joined_after or 0 for answer in answers]
    milliseconds = [1000 * answer.waited for answer in answers]
    return {
        "calls": len(answers),
        "steps": {"p50": float(np.percentile(steps, 50)), "p95": float(np.percentile(steps, 95)), "max": max(steps)},
        "share_within_one_step": round(float(np.mean([count <= MAX_JOIN_STEPS for count in steps])), 3),
        "ms": {name: round(float(np.percentile(milliseconds, rank)), 1) for name, rank in _RANKS.items()},
    }


def same_pictures(blocks: Blocks) -> dict[str, Any]:
    """Ours, painted in company, by the serial pipeline's, painted alone: the same call of the same block."""
    worst: list[int] = []
    for by_system in blocks.values():
        for ours, theirs in zip(by_system[OURS], by_system[SERIAL], strict=True):
            pairs = [(a.pixels, b.pixels) for a, b in zip(ours, theirs, strict=True)]
            worst += [levels_apart(a, b) for a, b in pairs if a is not None and b is not None]
    equal = sum(levels <= MAX_LEVELS for levels in worst)
    return {"compared": len(worst), "same": equal, "most_levels_apart": max(worst, default=0)}


def levels_apart(a: Any, b: Any) -> int:
    """The largest difference of a channel, of 255."""
    return int(np.abs(a.astype(np.int16) - b.astype(np.int16)).max())


def _errors(blocks: Blocks, name: str) -> list[str]:
    return sorted({a.error for by_system in blocks.values() for answers in by_system[name] for a in answers if a.error})


def aims(loads: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked of the engine, and whether it was so. Never asserted."""
    throughput = {load: found["by_better_rival"]["value"] for load, found in loads.items()}
    return {
        "throughput_by_better_rival": {
            "aim": THROUGHPUT_AIM,
            "found": throughput,
            "met": _met([value >= THROUGHPUT_AIM for value in throughput.values()]),
        },
        "p95_of_calls_of_ten_steps_or_fewer": _short_calls(loads),
        "join_with_a_row_free": _joins(loads),
    }


def _short_calls(loads: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, dict[str, float]] = {}
    for load, figures_at in loads.items():
        by_system = figures_at["latency_seconds"][SHORT]
        if float(load) >= AHEAD_FROM_LOAD and all(by_system.values()):
            found[load] = {rival: round(by_system[OURS]["p95"] / by_system[rival]["p95"], 3) for rival in RIVALS}
    met = _met([ratio < 1 for ratios in found.values() for ratio in ratios.values()])
    return {"aim": f"below 1 of each rival's, from {AHEAD_FROM_LOAD} of capacity", "found": found, "met": met}


def _joins(loads: Mapping[str, Any]) -> dict[str, Any]:
    rooms = {load: found["join"]["with_a_row_free"] for load, found in loads.items()}
    found = {load: room["steps"] for load, room in rooms.items() if room["calls"]}
    met = _met([steps["p95"] <= MAX_JOIN_STEPS for steps in found.values()])
    return {"aim": f"at most {MAX_JOIN_STEPS} step, at p95", "found": found, "met": met}


def _met(were_met: Sequence[bool]) -> bool | None:
    """Whether all were; None if nothing was measured."""
    return all(were_met) if were_met else None


def losses(loads: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every load, size and percentile at which a rival answered sooner, the worst first."""
    found = []
    for load, figures_at in loads.items():
        for size, by_system in figures_at["latency_seconds"].items():
            for rival in RIVALS:
                for rank in ("p50", "p95") if by_system[OURS] and by_system[rival] else ():
                    ours, theirs = by_system[OURS][rank], by_system[rival][rank]
                    case = {"load": load, "calls": size, "rival": rival, "figure": rank}
                    found.append(case | {"ours": ours, "theirs": theirs, "ratio": round(ours / theirs, 3)})
    return sorted((case for case in found if case["ratio"] > 1), key=lambda case: -case["ratio"])


def reasons(alone: Alone, times: StepTimes) -> list[str]:
    """Why a rival can be ahead, in this run's own numbers."""
    told = []
    rows = sorted(times.by_rows)
    if len(rows) > 1:
        few, many = 2 if 2 in rows else rows[0], rows[-1]
        gain = (times.by_rows[few] / few) / (times.by_rows[many] / many)
        told.append(
            f"A step of {few} rows takes {times.by_rows[few]:.1f} ms and one of {many} rows {times.by_rows[many]:.1f} "
            f"ms: a full batch does {gain:.2f} times the rows a second. Where that is near 1 sharing moves time "
            "between calls and saves none: a long call that shares its steps ends later than one that has the machine "
            "to itself, and the serial queue is ahead for it until the queue is what it waits for."
        )
    ratios = {steps: alone[OURS][steps] / alone[SERIAL][steps] for steps in alone.get(OURS, {})}
    if ratios:
        told.append(
            "Alone, with nothing to share with, our call takes "
            + ", ".join(f"{ratio:.2f} times the pipeline's at {steps} steps" for steps, ratio in ratios.items())
            + ". That is what is lost, or won, at the lowest loads."
        )
    told.append(
        "A step waits for a decode (on a CPU they share the cores) and for a newcomer's prompt: every call in the "
        "batch is held up by those that come and go, where the serial pipeline does both between calls."
    )
    return told


def _alone(alone: Alone) -> dict[str, Any]:
    return {name: {steps: round(seconds, 4) for steps, seconds in found.items()} for name, found in alone.items()}
