"""Adapters at a full model's shapes: what they cost a step and a full batch, how soon a new one is bound, and how long
diffusers and PEFT take for the same. Random weights of rank 32 over the attention layers.
"""

import statistics
import tempfile
import threading
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file

from benchmarks.adapter_binding import bind_ms
from benchmarks.adapter_files import attention_shapes, in_memory, random_adapter
from benchmarks.adapter_rivals import FILE, naming_rows
from benchmarks.gpu.clock import once, warm_seconds
from benchmarks.gpu.record import Record
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.speed import COMPILE_SECONDS, GENEROUS, GUIDANCE, NEGATIVE, PROMPT, paint
from benchmarks.painters import stock_pipeline
from deployments.engines.diffusion.arena import Arena, Binding
from deployments.engines.diffusion.assembly import blank_rows, native_shape
from deployments.engines.diffusion.batch import Predictor
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import StepTimes
from deployments.engines.diffusion.deltas import ImageAdapter
from deployments.engines.diffusion.front import NUM_CODEC_THREADS
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.mixtures import Floorplan, Mixer
from deployments.engines.diffusion.request import ImageRequest
from serve.domain.documents import AdapterPolicy

_POLICY: Final = AdapterPolicy(enabled=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """A model whose layers an arena wraps, and adapters for it in host memory."""

    record: Record
    setting: Setting
    bundle: Bundle
    predictor: Predictor
    arena: Arena
    mixer: Mixer
    adapters: Sequence[ImageAdapter]

    def forward(self, name: str, rows: int, num_adapters: int) -> None:
        """Milliseconds of a pass: without adapters, with one for all rows, with some for each call."""
        self.record.measure(f"forward/{name}/{rows}", lambda: self._forward(rows, num_adapters), COMPILE_SECONDS)

    @torch.inference_mode()
    def _forward(self, rows: int, num_adapters: int) -> float:
        device = self.setting.device
        bound = self.arena.bind(self._binding(rows, num_adapters), rows)
        inputs = replace(blank_rows(self.bundle, rows, native_shape(self.bundle)), bound=bound)
        with torch._dynamo.config.patch(GENEROUS):
            once(lambda: self.predictor(inputs), device)
        seconds = warm_seconds(lambda: self.predictor(inputs), device, enough_seconds=self.setting.enough_seconds)
        self.arena.bind(None)
        return round(1000 * seconds, 3)

    def _binding(self, rows: int, num_adapters: int) -> Binding | None:
        if not num_adapters:
            return None
        calls = max(1, rows // 2)
        mixtures = [self.mixer.mix([(adapter, 1.0)]) for adapter in self.adapters[: min(calls, num_adapters)]]
        packed = [self.arena.hold(mixture, lambda: ()) for mixture in mixtures if mixture is not None]
        return self.arena.plan([packed[row % calls % len(packed)] for row in range(rows)])

    def saturated(self, rows: int, num_adapters: int) -> None:
        """Pictures a second when three batches of calls wait, each call with the next of so many adapters."""

        def run() -> dict[str, Any]:
            lanes = Lanes(StepTimes(), native_shape(self.bundle), rows, self.predictor.buckets)
            loop, num_calls = StepLoop(self.bundle, self.predictor, lanes, arena=self.arena), 3 * max(1, rows // 2)
            try:
                self._paint(loop, num_calls, num_adapters, steps=2)
                seconds = once(
                    lambda: self._paint(loop, num_calls, num_adapters, self.setting.steps), self.setting.device
                )
            finally:
                loop.close()
            return {"calls": num_calls, "images_per_second": round(num_calls / seconds, 3)}

        self.record.measure(f"saturated/{num_adapters}", run, needed_seconds=90)

    def _paint(self, loop: StepLoop, num_calls: int, num_adapters: int, steps: int) -> None:
        """Adapters are packed beside the loop, by as many threads as in a replica."""
        turn = threading.Semaphore(NUM_CODEC_THREADS)

        def one(number: int) -> None:
            mixture = None
            if num_adapters:
                with turn:
                    mixture = self.mixer.mix([(self.adapters[number % num_adapters], 1.0)])
            side = self.bundle.native_size
            request = ImageRequest(PROMPT, side, side, steps, number, NEGATIVE, GUIDANCE, mixture=mixture)
            paint(loop, [request])

        with ThreadPoolExecutor(num_calls) as calls:
            list(calls.map(one, range(num_calls)))


def run(record: Record, setting: Setting, name: str) -> None:
    """The stage. Rivals first, since what follows wraps and compiles the networks in place."""
    rank, num_adapters = (4, 4) if setting.is_tiny else (32, 64)
    bundle = setting.make(name)
    tensors = random_adapter(attention_shapes(bundle.unet), rank, 0, setting.dtype)
    with tempfile.TemporaryDirectory(prefix="slipway-adapters-") as folder:
        _rivals(record, setting, bundle, tensors, Path(folder) / "stock")
        record.measure("bind_ms", lambda: _bind(setting, name, Path(folder) / "bind", rank), 60)
    # As where passes are recorded: one mixture for all rows has a row each, too.
    arena = Arena(bundle.unet, Floorplan(bundle.unet), _POLICY.max_resident, can_share=not setting.is_cuda)
    mixer = Mixer(arena.floorplan, _POLICY.max_rank, bundle.dtype, is_pinned=setting.is_cuda)
    adapters = [in_memory(f"random-{n}", _other(tensors, n)) for n in range(num_adapters)]
    bench = Bench(record, setting, bundle, setting.graphs(bundle), arena, mixer, adapters)
    _measure(bench)
    _conclude(record, bench.setting.few_rows[-1])


def _measure(bench: Bench) -> None:
    few, rows = bench.setting.few_rows[0], bench.setting.few_rows[-1]
    for count in (rows, few):
        bench.forward("none", count, 0)
        bench.forward("distinct", count, len(bench.adapters))
    bench.forward("shared", rows, 1)
    # From here on as a replica goes: shapes that were not rehearsed are recorded, and not compiled.
    bench.predictor.settle(rows)
    for num_adapters in (0, 1, len(bench.adapters)):
        bench.saturated(rows, num_adapters)


def _conclude(record: Record, rows: int) -> None:
    found = record.figures
    pairs = {
        "forward": (found.get(f"forward/none/{rows}"), found.get(f"forward/distinct/{rows}")),
        **{
            key: (value["images_per_second"], found["saturated/0"]["images_per_second"])
            for key, value in found.items()
            if key.startswith("saturated/") and "saturated/0" in found
        },
    }
    kept = {name: round(a / b, 3) for name, (a, b) in pairs.items() if a is not None and b is not None}
    record.note("kept", kept)


def _bind(setting: Setting, name: str, folder: Path, rank: int) -> dict[str, Any]:
    """On networks of its own, which it wraps."""
    return bind_ms(setting.make(name).unet, folder, rank, setting.dtype)


def _other(tensors: Mapping[str, torch.Tensor], number: int) -> dict[str, torch.Tensor]:
    """Another adapter in memory of its own; drawing 64 from a generator would take minutes."""
    return {name: tensor.roll(number, 0) for name, tensor in tensors.items()}


def _rivals(
    record: Record, setting: Setting, bundle: Bundle, tensors: Mapping[str, torch.Tensor], folder: Path
) -> None:
    if not record.lacks("diffusers/load", "peft_mixed/with", "peft_mixed/without"):
        return
    num = max(1, setting.few_rows[-1] // 2)
    pipeline = stock_pipeline(bundle)
    warnings.filterwarnings("ignore", message="Already found a `peft_config`")
    for number in range(num):
        (folder / str(number)).mkdir(parents=True)
        save_file(_other(tensors, number), folder / str(number) / FILE)
    record.measure("diffusers/load", lambda: _load(pipeline, setting, folder / "0"), 60)
    record.measure("peft_mixed/without", lambda: _mixed(pipeline, setting, num, []))
    names = [f"adapter_{number}" for number in range(num)]
    for number, adapter in enumerate(names):
        pipeline.load_lora_weights(folder / str(number), weight_name=FILE, adapter_name=adapter)
    record.measure("peft_mixed/with", lambda: _mixed(pipeline, setting, num, names))
    pipeline.unload_lora_weights()


def _load(pipeline: Any, setting: Setting, folder: Path) -> dict[str, float]:
    """Seconds of the stock way to change an adapter; medians of three."""
    found: dict[str, list[float]] = {"load_seconds": [], "unload_seconds": []}
    for _ in range(3):
        loading = once(lambda: pipeline.load_lora_weights(folder, weight_name=FILE), setting.device)
        unloading = once(pipeline.unload_lora_weights, setting.device)
        found["load_seconds"].append(loading)
        found["unload_seconds"].append(unloading)
    return {name: round(statistics.median(seconds), 3) for name, seconds in found.items()}


@torch.inference_mode()
def _mixed(pipeline: Any, setting: Setting, num: int, names: Sequence[str]) -> dict[str, float]:
    """A static batch, each of whose pictures has its own adapter: milliseconds of a step."""

    def run() -> None:
        with naming_rows(pipeline.unet, [*names] * 2):
            pipeline(
                [PROMPT] * num,
                negative_prompt=[NEGATIVE] * num,
                guidance_scale=GUIDANCE,
                num_inference_steps=setting.steps,
                output_type="latent",
            )

    seconds = warm_seconds(run, setting.device, num_warm_ups=1, most=3, enough_seconds=setting.enough_seconds)
    return {"images": num, "ms_per_step": round(1000 * seconds / setting.steps, 3)}
