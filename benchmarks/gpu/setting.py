"""Where and how large: a GPU and full-size models, or a rehearsal on a CPU with tiny ones."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.models import FULL, TINY, Made, make
from deployments.engines.diffusion.batch import Predictor
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.predictors import EagerPredictor, GraphPredictor


@dataclass(frozen=True, slots=True)
class Setting:
    """Of one run of the script."""

    device: str
    is_tiny: bool
    folder: Path
    """Where the stages' records are."""

    @property
    def is_cuda(self) -> bool:
        return self.device.startswith("cuda")

    @property
    def dtype(self) -> torch.dtype:
        return torch.bfloat16 if self.is_cuda else torch.float32

    @property
    def models(self) -> Mapping[str, Made]:
        return TINY if self.is_tiny else FULL

    @property
    def rows(self) -> tuple[int, ...]:
        return (1, 2) if self.is_tiny else (1, 2, 4, 8, 16, 32)

    @property
    def few_rows(self) -> tuple[int, ...]:
        """One picture with guidance, and as many as fill most machines."""
        return (2, 4) if self.is_tiny else (2, 8)

    @property
    def steps(self) -> int:
        return 2 if self.is_tiny else 20

    @property
    def enough_seconds(self) -> float:
        """After so much repeating a median is good enough."""
        return 0.1 if self.is_tiny else 4.0

    def make(self, name: str) -> Bundle:
        """A model with its own weights, the same ones each time."""
        return make(self.models[name], self.device, self.dtype)

    def graphs(self, bundle: Bundle, *, compile: bool = True) -> Predictor:
        """The engine's forward pass for this device: recorded on a GPU, as it is on a CPU."""
        return GraphPredictor(bundle, compile=compile) if self.is_cuda else EagerPredictor(bundle)

    def figures_of(self, stage: str) -> dict[str, Any]:
        """What a stage has found so far."""
        return dict(self._content(stage).get("figures", {}))

    def notes_of(self, stage: str) -> dict[str, Any]:
        """What it says of them."""
        return dict(self._content(stage).get("notes", {}))

    def errors_of(self, stage: str) -> dict[str, Any]:
        """What could not be measured."""
        return dict(self._content(stage).get("errors", {}))

    def is_complete(self, stage: str) -> bool:
        """Whether nothing waits for another run."""
        return bool(self._content(stage).get("is_complete"))

    def stages(self) -> list[str]:
        """Those that have begun."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def _content(self, stage: str) -> dict[str, Any]:
        path = self.folder / f"{stage}.json"
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def peak_tflops(self) -> float | None:
        """The best matrix product measured on this device; None before the stage that measures it."""
        rates = [rate for name, rate in self.figures_of("ceilings").items() if name.startswith("matmul_tflops/")]
        return max(rates, default=None)
