"""From a directory of weights to a running loop: load, prepare the forward pass, measure the knee."""

import logging
import time
from pathlib import Path

import torch

from deployments.engines.diffusion.batch import Predictor
from deployments.engines.diffusion.bundle import Bundle
from deployments.engines.diffusion.capacity import CANDIDATES, StepTimes, measure
from deployments.engines.diffusion.lanes import Lanes
from deployments.engines.diffusion.loop import StepLoop
from deployments.engines.diffusion.predictors import EagerPredictor, GraphPredictor
from deployments.engines.diffusion.rows import Rows
from deployments.engines.diffusion.slot import LaneKey

logger = logging.getLogger(__name__)

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
) -> tuple[Bundle, StepLoop]:
    """A loop that takes requests.

    Raises:
        EngineFailed: the directory is no model of a kind that this engine runs.
    """
    began = time.monotonic()
    bundle = Bundle.load(folder, device=device, dtype=dtype, variant=variant)
    predictor: Predictor = EagerPredictor(bundle)
    if compile and device == "cuda":
        predictor = GraphPredictor(bundle)
    shape = native_shape(bundle)
    times = measure_rows(bundle, predictor, shape, max_rows)
    lanes = Lanes(times, shape, max_rows, predictor.buckets)
    predictor.settle(lanes.most_rows)
    told = {rows: round(ms, 1) for rows, ms in times.by_rows.items()}
    logger.info("%s loaded in %.1f s; ms by rows %s", bundle.architecture, time.monotonic() - began, told)
    return bundle, StepLoop(bundle, predictor, lanes, num_cached_prompts)


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
