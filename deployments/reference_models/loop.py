"""The training loop of both networks: a schedule, running averages, checkpoints that survive a kill, progress lines."""

import logging
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

CHECKPOINT_SECONDS: Final = 180.0
PROGRESS_STEPS: Final = 100

Batches = Callable[[int], Iterator[Any]]
"""From a seed to endless batches. Resuming reseeds with the step, so no batch is seen twice."""
Loss = Callable[[Any, torch.Generator], tuple[Tensor, float]]
"""From a batch to what is minimised and the figure to report."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Linear warm-up to `rate`, then a cosine down to a hundredth of it at `steps`."""

    steps: int
    rate: float
    warmup: int = 200
    average_decay: float = 0.998

    def at(self, step: int) -> float:
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


class Training:
    """A network under training, with its optimizer, running average, generator and step. Resumes where it stopped."""

    def __init__(
        self, network: nn.Module, schedule: Schedule, checkpoint: Path, seed: int, device: str = "cpu"
    ) -> None:
        self.network, self.schedule, self.checkpoint = network.to(device), schedule, checkpoint
        self.seed, self.device, self.step = seed, device, 0
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=schedule.rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.average = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.generator = torch.Generator(device).manual_seed(seed)
        if checkpoint.exists():
            self._restore()

    def run(
        self, batches: Batches, loss: Loss, *, bf16: bool, on_checkpoint: Callable[[], None], num_workers: int = 1
    ) -> None:
        """Train to the schedule's last step; `on_checkpoint` runs after every checkpoint and at the end.

        Further workers are processes that train the same weights with batches and optimizers of their own and no locks
        (Hogwild, arXiv:1106.5730). On a CPU, two of one thread each do nearly twice the work of one with two threads.
        """
        self.network.share_memory()
        fork = multiprocessing.get_context("fork")
        helpers = [
            fork.Process(target=self._help, args=(batches, loss, bf16, index), daemon=True)
            for index in range(1, num_workers)
        ]
        for helper in helpers:
            helper.start()
        self._lead(batches, loss, bf16, on_checkpoint)
        for helper in helpers:
            helper.terminate()
            helper.join()

    def _help(self, batches: Batches, loss: Loss, bf16: bool, index: int) -> None:
        self.generator.manual_seed(self.seed * 7919 + self.step + index)
        source = batches(self.seed * 1_000_003 + self.step + index * 500_009)
        self.network.train()
        leader = os.getppid()
        while os.getppid() == leader:
            self._advance(next(source), loss, bf16)

    def _lead(self, batches: Batches, loss: Loss, bf16: bool, on_checkpoint: Callable[[], None]) -> None:
        source = batches(self.seed * 1_000_003 + self.step)
        saved = shown = time.monotonic()
        total = 0.0
        self.network.train()
        while self.step < self.schedule.steps:
            total += self._advance(next(source), loss, bf16)
            self._follow()
            if self.step % PROGRESS_STEPS == 0:
                speed = PROGRESS_STEPS / (time.monotonic() - shown)
                logger.info("step %d loss %.5f rate %.2e %.2f steps/s", self.step, total / PROGRESS_STEPS,
                            self.schedule.at(self.step), speed)  # fmt: skip
                total, shown = 0.0, time.monotonic()
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self._save()
                on_checkpoint()
                saved = time.monotonic()
        self._save()
        on_checkpoint()

    def _advance(self, batch: Any, loss: Loss, bf16: bool) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.at(self.step)
        with torch.autocast(self.device, torch.bfloat16, enabled=bf16):
            objective, figure = loss(batch, self.generator)
        torch.autograd.backward(objective)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return figure

    @torch.no_grad()
    def _follow(self) -> None:
        # Early on the average follows closely, else it would remember the first, random weights for long.
        decay = min(self.schedule.average_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _save(self) -> None:
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.checkpoint)

    def _restore(self) -> None:
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"].cpu())
        logger.info("resumed at step %d", self.step)
