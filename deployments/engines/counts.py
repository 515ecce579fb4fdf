"""What an engine counts of itself, and of each call in the same places."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from serve.domain.errors import InvalidRequest
from serve.domain.generation import CallContext
from serve.domain.usage import Tally


@dataclass(slots=True)
class Counts:
    """Calls and what they consumed since the start; single-threaded."""

    started: int = 0
    finished: int = 0
    aborted: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    images: int = 0
    steps: int = 0
    pixel_steps: int = 0

    @contextmanager
    def call(self, tally: Tally | None = None) -> Iterator["OpenCall"]:
        """One call: aborted when it is closed or cancelled before `done`, failed when it raises."""
        self.started += 1
        call = OpenCall(self, tally or Tally())
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
            "images_total": self.images,
            "steps_total": self.steps,
            "pixel_steps_total": self.pixel_steps,
        }


class OpenCall:
    """A call that ends once, however often it is told to. What it consumes is counted in the engine's counters and in
    its own tally by the same method, so that the two cannot differ."""

    __slots__ = ("_counts", "_open", "tally")

    def __init__(self, counts: Counts, tally: Tally) -> None:
        self._counts = counts
        self._open = True
        self.tally = tally

    def prompt_tokens(self, num_tokens: int) -> None:
        """A prompt was read."""
        self._counts.prompt_tokens += num_tokens
        self.tally.prompt_tokens += num_tokens

    def generated(self, num_tokens: int) -> None:
        """Tokens were generated, whether or not anybody takes them."""
        self._counts.generation_tokens += num_tokens
        self.tally.completion_tokens += num_tokens

    def stepped(self, num_images: int, num_pixels: int) -> None:
        """`num_images` of `num_pixels` each have made a denoising step."""
        self._counts.steps += num_images
        self._counts.pixel_steps += num_images * num_pixels
        self.tally.steps += num_images
        self.tally.pixel_steps += num_images * num_pixels

    def painted(self, num_pixels: int) -> None:
        """A picture is finished."""
        self._counts.images += 1
        self.tally.images += 1
        self.tally.pixels += num_pixels

    def done(self) -> None:
        """All work is done. Say so before the last batch: its reader may close without asking for more."""
        self.end("finished")

    def end(self, how: str) -> None:
        """End as `how`, unless the call has ended."""
        if self._open:
            self._open = False
            setattr(self._counts, how, getattr(self._counts, how) + 1)


def check_reserved(num_prompt_tokens: int, context: CallContext, param: str) -> None:
    """Refuse a prompt that would cost more than was reserved for its call. To be asked before any work.

    Raises:
        InvalidRequest: `prompt_over_reservation`.
    """
    check_most(num_prompt_tokens, context.max_prompt_tokens, param)


def check_most(num_prompt_tokens: int, most: int | None, param: str) -> None:
    """The same, of a bound that was taken out of its context."""
    if most is not None and num_prompt_tokens > most:
        raise InvalidRequest(
            f"The prompt has {num_prompt_tokens} tokens, and a budget was reserved for {most}: text of unusually short "
            "tokens. Shorten it, or send it in several calls.",
            "prompt_over_reservation",
            param,
        )
