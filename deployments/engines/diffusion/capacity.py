"""How many rows a forward pass should have: measured, because no formula knows the machine.

Time per row falls with the rows until the machine is full; from that knee on, more rows only make every image wait for
the others. A large picture on a small GPU is full at one row, a small one on a large GPU at thirty-two.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

TOLERANCE = 0.07
"""A row count is good enough if its time per row is within this of the best that was measured."""
SMOOTHING = 0.2
"""Weight of the newest step in a lane's estimate."""
CANDIDATES = (1, 2, 4, 8, 16, 32)


@dataclass(slots=True)
class StepTimes:
    """Milliseconds of a step by its rows, at one shape."""

    by_rows: dict[int, float] = field(default_factory=dict)

    def learn(self, num_rows: int, milliseconds: float) -> None:
        """Take in one measured step."""
        known = self.by_rows.get(num_rows)
        self.by_rows[num_rows] = milliseconds if known is None else known + SMOOTHING * (milliseconds - known)

    def estimate(self, num_rows: int) -> float:
        """Milliseconds of a step of `num_rows`: measured, or in proportion to the nearest that was; 0 if none was."""
        if not self.by_rows:
            return 0.0
        nearest = min(self.by_rows, key=lambda rows: abs(rows - num_rows))
        return self.by_rows[nearest] * num_rows / nearest

    def scaled(self, factor: float) -> "StepTimes":
        """The same machine at another number of pixels: a first guess, until steps of that shape are measured."""
        return StepTimes({rows: milliseconds * factor for rows, milliseconds in self.by_rows.items()})


def knee(times: StepTimes, most: int) -> int:
    """The fewest rows whose time per row is close to the best; at least 2, so that guidance fits in one pass."""
    measured = {rows: ms / rows for rows, ms in times.by_rows.items() if rows <= most}
    if not measured:
        return min(2, most)
    best = min(measured.values())
    return max(2, min(rows for rows, per_row in measured.items() if per_row <= best * (1 + TOLERANCE)))


def measure(
    run: Callable[[int], None],
    budget_seconds: float,
    candidates: Sequence[int] = CANDIDATES,
    repeats: int = 4,
    warm_up: Callable[[int], None] | None = None,
) -> StepTimes:
    """Time `run(num_rows)` at growing row counts, until the budget is spent or two in a row bring nothing.

    `run` must not return before the work is done. What counts is the quickest of several runs, and the counts take
    turns, so that what else the machine does meanwhile falls on none of them alone. `warm_up(num_rows)` goes before the
    clock: it is for what is paid once and may take far longer than the work, such as compiling. An error at a larger
    count (memory) ends the measuring.
    """
    quickest: dict[int, float] = {}
    spent, no_gain = 0.0, 0
    for num_rows in candidates:
        try:
            if warm_up is not None:
                warm_up(num_rows)
            first = _timed_ms(run, num_rows)
            # The first run pays for what is made once; it stands where another would be too much.
            again = first if first > budget_seconds * 1000 / 8 else _timed_ms(run, num_rows)
        except Exception as error:
            if not quickest:
                raise
            logger.warning("no steps of %d rows: %s", num_rows, str(error))
            break
        spent += (first + again) / 1000
        best = min((ms / rows for rows, ms in quickest.items()), default=float("inf"))
        quickest[num_rows] = min(first, again)
        no_gain = no_gain + 1 if quickest[num_rows] / num_rows > best * (1 - TOLERANCE) else 0
        if no_gain == 2 or spent > budget_seconds / 2:
            break
    _repeat(run, quickest, repeats - 2, budget_seconds - spent)
    return StepTimes(_plausible(quickest))


def _repeat(run: Callable[[int], None], quickest: dict[int, float], times: int, budget_seconds: float) -> None:
    """Measure all counts again, in turns, while the budget lasts."""
    ends_at = time.monotonic() + budget_seconds
    for _ in range(times):
        for num_rows, known in quickest.items():
            if time.monotonic() + known / 1000 > ends_at:
                return
            quickest[num_rows] = min(known, _timed_ms(run, num_rows))


def _plausible(quickest: dict[int, float]) -> dict[int, float]:
    """No step takes longer than one of more rows: where it seems so, something else ran."""
    return {rows: min(ms for more, ms in quickest.items() if more >= rows) for rows in quickest}


def _timed_ms(run: Callable[[int], None], num_rows: int) -> float:
    began = time.perf_counter()
    run(num_rows)
    return (time.perf_counter() - began) * 1000
