"""From latents to pictures, without stalling the batch.

On a CPU decoding competes for the same cores, so the loop decodes one picture between two steps. On a GPU it runs
beside the steps: in a thread of its own, one picture at a time, on a stream of lower priority than theirs. A decode is
memory bound and gains nothing from batching.
"""

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch

from deployments.engines.diffusion import memory
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.latents import decode
from deployments.engines.diffusion.request import Pixels
from deployments.engines.diffusion.slot import Slot

Done = Callable[[Slot, Pixels | Exception], None]
"""Told of every picture, or of why there is none."""


class Decoder(Protocol):
    """Turns finished slots into pictures."""

    def put(self, slot: Slot) -> None:
        """Queue a finished slot."""
        ...

    def work(self) -> None:
        """Do what may be done between two steps."""
        ...

    @property
    def num_waiting(self) -> int:
        """Pictures that only `work` would finish."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether what is put will be decoded."""
        ...

    def close(self) -> None:
        """Stop; what is queued is dropped."""
        ...


class InlineDecoder:
    """Decodes in the loop's own thread, the most urgent picture first."""

    def __init__(self, bundle: Bundle, done: Done) -> None:
        self._bundle, self._done = bundle, done
        self._queue: list[Slot] = []

    def put(self, slot: Slot) -> None:
        """See Decoder."""
        self._queue.append(slot)

    def work(self) -> None:
        """One picture."""
        if not self._queue:
            return
        slot = min(self._queue, key=lambda slot: (slot.deadline, slot.order))
        self._queue.remove(slot)
        if not slot.is_gone:
            self._done(slot, _decoded(self._bundle, slot))

    @property
    def num_waiting(self) -> int:
        return len(self._queue)

    @property
    def is_alive(self) -> bool:
        return True

    def close(self) -> None:
        """See Decoder."""
        self._queue.clear()


class StreamDecoder:
    """Decodes beside the loop, on a CUDA stream of low priority."""

    def __init__(self, bundle: Bundle, done: Done) -> None:
        self._bundle, self._done = bundle, done
        self._queue: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="slipway-decode", daemon=True)
        self._thread.start()

    def put(self, slot: Slot) -> None:
        """The slot's latents must be complete on the device: the loop synchronises after every step."""
        self._queue.put(slot)

    def work(self) -> None:
        """Nothing: the thread does it."""

    @property
    def num_waiting(self) -> int:
        return 0

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """See Decoder."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        stream: AbstractContextManager[object] = nullcontext()
        if self._bundle.device.startswith("cuda"):
            device = torch.device(self._bundle.device)
            stream = torch.cuda.stream(torch.cuda.Stream(device, priority=0))  # type: ignore[no-untyped-call]  # torch's
        with stream:
            while (slot := self._queue.get()) is not None:
                if not slot.is_gone:
                    self._done(slot, _decoded(self._bundle, slot))


def _decoded(bundle: Bundle, slot: Slot) -> Pixels | Exception:
    """The picture. A decode that found no memory is tried once more: a step may have held it."""
    for is_last in (False, True):
        try:
            return decode(bundle, slot.latents.unsqueeze(0))[0]
        except Exception as error:
            if is_last or not memory.is_out_of_memory(error):
                return error
        memory.release()
    raise AssertionError("the last try answers")
