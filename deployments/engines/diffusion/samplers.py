"""Samplers by name: what an image's steps are, as a table for the fused update or step by step."""

import copy
import functools
import json
from collections.abc import Mapping
from typing import Any

import diffusers
import numpy as np
import torch

from deployments.engines.diffusion.recipes import RECIPES, SAMPLER_NAMES, TABLE_SAMPLERS
from deployments.engines.diffusion.stepwise import Rehearsal, Stepwise, rehearse
from deployments.engines.diffusion.tables import StepTable
from serve.domain.errors import InvalidRequest

__all__ = ["SAMPLER_NAMES", "TABLE_SAMPLERS", "Denoise", "StepTable", "Stepwise", "prepare", "stock_scheduler"]

Denoise = StepTable | Stepwise

# What diffusers raises for a combination that a scheduler does not do; all else is a defect and passes through.
_REFUSALS = (
    ValueError,
    NotImplementedError,
    IndexError,
    ZeroDivisionError,
    AssertionError,
    ImportError,
    torch.linalg.LinAlgError,  # type: ignore[attr-defined]  # public, and not in its __all__
)


def prepare(
    sampler: str, scheduler_config: Mapping[str, Any], num_steps: int, strength: float | None = None
) -> Denoise:
    """The steps of one image, equal to those of diffusers' scheduler `from_config(scheduler_config)`.

    Without `strength` all `num_steps` run (text to image). With it, the share that the image-to-image and inpainting
    pipelines leave, from the same point and with an empty history. Tables are shared and must not be written to; a
    Stepwise belongs to the caller.

    Raises:
        InvalidRequest: `unsupported_steps` (param steps) where no step is left or the sampler cannot make as many;
            `unsupported_sampler` (param sampler) where it is unknown, or not for what this model predicts.
    """
    if sampler not in RECIPES:
        raise InvalidRequest(f"The samplers are {', '.join(SAMPLER_NAMES)}.", "unsupported_sampler", "sampler")
    key = json.dumps(dict(scheduler_config), sort_keys=True, default=lambda value: np.asarray(value).tolist())
    plan = _plan(sampler, key, num_steps, strength)
    if isinstance(plan, StepTable):
        return plan
    scheduler = copy.deepcopy(_timed(sampler, key, num_steps))
    return Stepwise(scheduler, _first(scheduler, num_steps, strength), plan)


def stock_scheduler(sampler: str, scheduler_config: Mapping[str, Any]) -> Any:
    """diffusers' own scheduler for `sampler`, new: what a stock pipeline would use."""
    recipe = RECIPES[sampler]
    return getattr(diffusers, recipe.scheduler).from_config(dict(scheduler_config), **recipe.changes)


@functools.lru_cache(maxsize=1024)
def _plan(sampler: str, key: str, num_steps: int, strength: float | None) -> StepTable | Rehearsal:
    scheduler = copy.deepcopy(_timed(sampler, key, num_steps))
    first = _first(scheduler, num_steps, strength)
    build = RECIPES[sampler].table
    try:
        with np.errstate(all="ignore"):
            table = build(scheduler, first) if build is not None else None
        plan = table or rehearse(scheduler, first)
    except _REFUSALS as refusal:
        raise _unsupported_sampler(sampler) from refusal
    if plan is None:
        raise _unsupported_sampler(sampler)
    return plan


@functools.lru_cache(maxsize=128)
def _timed(sampler: str, key: str, num_steps: int) -> Any:
    """A scheduler with its timesteps set, to copy from: some take milliseconds over that, and log."""
    scheduler = copy.deepcopy(_pristine(sampler, key))
    try:
        scheduler.set_timesteps(num_steps)
    except _REFUSALS as refusal:
        most = scheduler.config.get("original_inference_steps") or scheduler.config.num_train_timesteps
        sentence = f"The sampler {sampler} makes at most {most} steps with this model; {num_steps} were asked for."
        raise InvalidRequest(sentence, "unsupported_steps", "steps") from refusal
    return scheduler


@functools.lru_cache(maxsize=64)
def _pristine(sampler: str, key: str) -> Any:
    """A new scheduler, to copy from: some take a tenth of a second to build."""
    try:
        return stock_scheduler(sampler, json.loads(key))
    except _REFUSALS as refusal:
        raise _unsupported_sampler(sampler) from refusal


def _first(scheduler: Any, num_steps: int, strength: float | None) -> int:
    """The index of the first timestep: `get_timesteps` of StableDiffusionImg2ImgPipeline."""
    if strength is None:
        return 0
    first = max(num_steps - min(int(num_steps * strength), num_steps), 0) * int(scheduler.order)
    if first >= len(scheduler.timesteps):
        sentence = "steps times strength leaves no step to run: raise one of them."
        raise InvalidRequest(sentence, "unsupported_steps", "steps")
    return first


def _unsupported_sampler(sampler: str) -> InvalidRequest:
    sentence = f"The sampler {sampler} cannot make these steps with this model: take another sampler, such as ddim."
    return InvalidRequest(sentence, "unsupported_sampler", "sampler")
