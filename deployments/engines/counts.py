"""What an engine counts of itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """Calls and tokens since the start; single-threaded."""

    started: int = 0
    finished: int = 0
    aborted: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0

    @contextmanager
    def call(self) -> Iterator["OpenCall"]:
        """One call: aborted when it is closed or cancelled before `done`, failed when it raises."""
        self.started += 1
        call = OpenCall(self)
        try:
            yield call
        except (GeneratorExit, asyncio.CancelledError):
            call.end("aborted")
            raise
        except BaseException:
            call.end("failed")
            raise
        call.done()

    def snapshot(self) -> dict[str, float]:
        """As `Engine.counters` has them."""
        ended = self.finished + self.aborted + self.failed
        return {
            "running": self.started - ended,
            "started": self.started,
            "finished": self.finished,
            "aborted": self.aborted,
            "failed": self.failed,
            "prompt_tokens_total": self.prompt_tokens,
            "generation_tokens_total": self.generation_tokens,
        }


class OpenCall:
    """A call that ends once, however often it is told to."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._open = True

    def done(self) -> None:
        """All work is done. Say so before the last batch: its reader may close without asking for more."""
        self.end("finished")

    def end(self, how: str) -> None:
        """End as `how`, unless the call has ended."""
        if self._open:
            self._open = False
            setattr(self._counts, how, getattr(self._counts, how) + 1)
