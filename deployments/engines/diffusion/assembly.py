"""From a directory of weights to a running loop: load, prepare the forward pass, measure the knee."""

import logging
import time
from dataclasses import replace
from pathlib import Path

import torch

from deployments.engines.diffusion.arena import Arena
from deployments.engines.diffusion.batch import Predictor
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import CANDIDATES, StepTimes, measure
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.mixtures import Floorplan
from deployments.engines.diffusion.predictors import EagerPredictor, GraphPredictor
from deployments.engines.diffusion.rows import Rows
from deployments.engines.diffusion.slot import LaneKey

logger = logging.getLogger(__name__)

RECORDED_RANK = 16
"""Where passes are recorded, ranks are rounded up to this at least: one shape less, for hardly more work."""
REHEARSED_DEPTHS = (1, 3)
"""Adapters of attention alone, and of all layers that an arena covers. See mixtures.COVERED."""
_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
MEASURE_SECONDS = 5.0
"""Of a model's start that may go into measuring; a full-size model on a CPU spends it on one forward pass."""


def device_of(num_gpus: float) -> str:
    """Where a replica computes: on the GPU that Ray shows it, if it was given one."""
    return "cuda" if num_gpus > 0 and torch.cuda.is_available() else "cpu"


def dtype_of(name: str, device: str) -> torch.dtype:
    """`auto` is bfloat16 on a GPU and float32 on a CPU, whose bfloat16 is slower and less exact."""
    if name == "auto":
        return torch.bfloat16 if device == "cuda" else torch.float32
    return _DTYPES[name]


def assemble(
    folder: Path,
    *,
    device: str,
    dtype: torch.dtype,
    variant: str | None = None,
    compile: bool = False,
    max_rows: int | None = None,
    num_cached_prompts: int = 256,
    max_resident: int | None = None,
) -> tuple[Bundle, StepLoop]:
    """A loop that takes requests; with adapters, if `max_resident` mixtures of them may stay on the device.

    Raises:
        EngineFailed: the directory is no model of a kind that this engine runs.
    """
    began = time.monotonic()
    bundle = Bundle.load(folder, device=device, dtype=dtype, variant=variant)
    is_recorded = compile and device == "cuda"
    # Before anything is compiled: the arena wraps layers.
    arena = None
    if max_resident is not None:
        arena = Arena(bundle.unet, Floorplan(bundle.unet), max_resident, can_share=not is_recorded)
    predictor: Predictor = EagerPredictor(bundle)
    if is_recorded:
        predictor = GraphPredictor(bundle)
    shape = native_shape(bundle)
    times = measure_rows(bundle, predictor, shape, max_rows)
    lanes = Lanes(times, shape, max_rows, predictor.buckets)
    if arena is not None and predictor.buckets:
        rehearse_adapters(bundle, predictor, arena, lanes.most_rows)
    predictor.settle(lanes.most_rows)
    told = {rows: round(ms, 1) for rows, ms in times.by_rows.items()}
    logger.info("%s loaded in %.1f s; ms by rows %s", bundle.architecture, time.monotonic() - began, told)
    return bundle, StepLoop(bundle, predictor, lanes, num_cached_prompts, arena)


def native_shape(bundle: Bundle) -> LaneKey:
    """The lane of the size that the model was made for."""
    side = bundle.native_size // bundle.latent_scale
    return LaneKey(side, side, bundle.window)


@torch.inference_mode()
def measure_rows(bundle: Bundle, predictor: Predictor, shape: LaneKey, max_rows: int | None) -> StepTimes:
    """Milliseconds of a step by rows, at `shape`. On a GPU each count compiles and loads before the clock."""
    candidates = [rows for rows in predictor.buckets or CANDIDATES if max_rows is None or rows <= max_rows]
    is_cuda = bundle.device.startswith("cuda")

    def run(num_rows: int) -> None:
        predictor(blank_rows(bundle, num_rows, shape))
        if is_cuda:
            torch.cuda.synchronize(bundle.device)

    return measure(run, MEASURE_SECONDS, candidates, warm_up=run if is_cuda else None)


@torch.inference_mode()
def rehearse_adapters(bundle: Bundle, predictor: Predictor, arena: Arena, max_rows: int) -> None:
    """Compile and record the passes that are likely with adapters: any row count, the usual rank, the usual layers.

    Most rows first: a buffer that has to grow is another one, and what was recorded with the smaller of no use.
    """
    for depth in REHEARSED_DEPTHS:
        for num_rows in sorted((rows for rows in predictor.buckets if rows <= max_rows), reverse=True):
            bound = arena.bind(arena.blank(num_rows, RECORDED_RANK, depth), num_rows)
            predictor(replace(blank_rows(bundle, num_rows, native_shape(bundle)), bound=bound))
    arena.bind(None)


def blank_rows(bundle: Bundle, num_rows: int, shape: LaneKey) -> Rows:
    """Inputs of the right shapes, as a forward pass takes them."""
    height, width, num_tokens, _ = shape
    config, device, dtype = bundle.unet.config, bundle.device, bundle.dtype
    sample = torch.randn(num_rows, bundle.unet_channels, height, width, device=device)
    timesteps = torch.full((num_rows,), 500.0, device=device)
    context = torch.randn(num_rows, num_tokens, config.cross_attention_dim, dtype=dtype, device=device)
    if config.addition_embed_type != "text_time":
        return Rows(sample, timesteps, context)
    pooled_dim = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    pooled = torch.randn(num_rows, pooled_dim, dtype=dtype, device=device)
    return Rows(sample, timesteps, context, pooled, torch.zeros(num_rows, 6, dtype=dtype, device=device))
