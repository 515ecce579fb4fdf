"""Samplers as tables of coefficients: every step of these is a weighted sum, so a batch of images, each with its own
sampler and step, makes its step in one fused update.

Timesteps and noise levels are read off a scheduler of diffusers, so that spacing, offsets and roundings are its own.
The weights are derived from them in float64. A function here returns None for a configuration whose steps are no
weighted sums, or remember more than two predictions; the caller then goes step by step.

There are two ways to write a noisy latent: variance exploding, x = clean + sigma * noise (Euler), and variance
preserving, x = alpha * clean + sigma * alpha * noise with alpha = 1 / sqrt(1 + sigma^2) (the others). `sigma` means
that of the first everywhere.

Imports numpy alone.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class StepTable:
    """The weights of every step of one image; arrays are float64 [num_steps], read-only and shared.

    Step i feeds the model `input_scale[i] * x` at `timesteps[i]`, and with its output `out`:

        d  = derive_x[i] * x + derive_out[i] * out
        x' = carry[i] * x + direct[i] * d + previous[i] * h1 + before[i] * h2 + noise[i] * z

    `d` is the clean latent as predicted now, h1 and h2 are those of the last and second last step (weights are 0 where
    there are none yet), z is standard normal. Where `noise[i]` is 0 no z is drawn.
    """

    timesteps: Floats
    initial_noise_sigma: float
    """Text to image starts from noise times this; so does inpainting of strength 1."""
    start_clean: float
    """Image to image starts from start_clean * clean + start_noise * noise."""
    start_noise: float
    blend_clean: Floats
    """After step i, what a mask keeps is blend_clean[i] * clean + blend_noise[i] * noise. Masks must be 0 or 1: UniPC's
    weights rest on x being, where it is painted, what the last step made it."""
    blend_noise: Floats
    input_scale: Floats
    derive_x: Floats
    derive_out: Floats
    carry: Floats
    direct: Floats
    previous: Floats
    before: Floats
    noise: Floats

    @property
    def num_steps(self) -> int:
        """Model evaluations."""
        return len(self.timesteps)


Build = Callable[[Any, int], StepTable | None]
"""(scheduler after set_timesteps, index of the first step) -> its table, or None if it has none."""


@dataclass(frozen=True, slots=True)
class _Levels:
    """Before each step: how much of the clean latent and of the noise x holds, and what the model is fed of x."""

    clean: Floats
    noise: Floats
    input_scale: Floats


def _sigmas(scheduler: Any, first: int) -> Floats:
    """Noise levels from step `first` on, [num_steps + 1]."""
    return np.asarray(scheduler.sigmas, dtype=np.float64)[first:]


def _alpha(sigmas: Floats) -> Floats:
    alpha: Floats = 1 / np.sqrt(sigmas**2 + 1)
    return alpha


def _exploding(sigmas: Floats) -> _Levels:
    now = sigmas[:-1]
    return _Levels(np.ones_like(now), now, _alpha(now))


def _preserving(sigmas: Floats) -> _Levels:
    now = sigmas[:-1]
    return _Levels(_alpha(now), now * _alpha(now), np.ones_like(now))


def _prediction(config: Any, levels: _Levels) -> tuple[Floats, Floats] | None:
    """Weights of x and of the model's output in the predicted clean latent, by what the model predicts.

    Source: section 2.4 of Salimans and Ho, "Progressive Distillation", https://arxiv.org/abs/2202.00512.
    """
    kind = config.prediction_type
    if kind == "epsilon":
        return 1 / levels.clean, -levels.noise / levels.clean
    if kind in ("sample", "original_sample"):
        return np.zeros_like(levels.clean), np.ones_like(levels.clean)
    if kind == "v_prediction":
        length = np.hypot(levels.clean, levels.noise)
        return levels.clean / length**2, -levels.noise / length
    return None


def _table(
    scheduler: Any,
    first: int,
    levels: _Levels,
    carry: Floats,
    direct: Floats,
    *,
    previous: Floats | None = None,
    before: Floats | None = None,
    noise: Floats | None = None,
) -> StepTable | None:
    """The table of these weights, or None where they are no numbers (a step from or to a level that has no inverse)."""
    derived = _prediction(scheduler.config, levels)
    if derived is None:
        return None
    zeros = np.zeros_like(carry)
    table = StepTable(
        timesteps=np.asarray(scheduler.timesteps, dtype=np.float64)[first:].copy(),
        initial_noise_sigma=float(scheduler.init_noise_sigma),
        start_clean=float(levels.clean[0]),
        start_noise=float(levels.noise[0]),
        blend_clean=np.append(levels.clean[1:], 1.0),
        blend_noise=np.append(levels.noise[1:], 0.0),
        input_scale=levels.input_scale.copy(),
        derive_x=derived[0],
        derive_out=derived[1],
        carry=carry,
        direct=direct,
        previous=zeros if previous is None else previous,
        before=zeros if before is None else before,
        noise=zeros if noise is None else noise,
    )
    return table if _is_sound(table) else None


def _is_sound(table: StepTable) -> bool:
    """Whether all is finite, and noise that is drawn is also used: the numbers drawn later depend on it."""
    for each in fields(table):
        values = np.asarray(getattr(table, each.name))
        if not np.isfinite(values).all():
            return False
        if values.ndim:
            values.flags.writeable = False
    drawn = table.noise[:-1] != 0
    return bool(drawn.all() or not table.noise.any())


def _is_clipped(config: Any) -> bool:
    """Whether predictions are cut to a range, which no weighted sum does."""
    return bool(config.get("thresholding") or config.get("clip_sample"))


def euler(scheduler: Any, first: int) -> StepTable | None:
    """Euler's method on the probability flow: Karras et al., algorithm 2 without churn, https://arxiv.org/abs/2206.00364."""
    sigmas = _sigmas(scheduler, first)
    shrink = sigmas[1:] / sigmas[:-1]
    return _table(scheduler, first, _exploding(sigmas), shrink, 1 - shrink)


def euler_ancestral(scheduler: Any, first: int) -> StepTable | None:
    """Euler to a lower level than asked for, then noise up to it: `sample_euler_ancestral` of k-diffusion.

    diffusers draws the last step's noise too and multiplies it by zero: nothing is drawn after it, so we leave it.
    """
    if scheduler.config.prediction_type == "sample":
        return None
    sigmas = _sigmas(scheduler, first)
    now, later = sigmas[:-1], sigmas[1:]
    up = np.sqrt(later**2 * (now**2 - later**2) / now**2)
    shrink = np.sqrt(later**2 - up**2) / now
    return _table(scheduler, first, _exploding(sigmas), shrink, 1 - shrink, noise=up)


def _alphas(scheduler: Any, timesteps: NDArray[np.int64]) -> Floats:
    """Share of signal power at `timesteps`; below 0 lies the clean latent, as the configuration defines it."""
    cumulative = np.asarray(scheduler.alphas_cumprod, dtype=np.float64)
    return np.where(timesteps >= 0, cumulative[timesteps], float(scheduler.final_alpha_cumprod))


def _discrete(scheduler: Any, first: int) -> tuple[NDArray[np.int64], _Levels]:
    """The integer timesteps from `first` on, and their levels."""
    timesteps = np.asarray(scheduler.timesteps, dtype=np.int64)[first:]
    # Indexed as they are, without the case below 0: spacings that overshoot do so in diffusers as well.
    power = np.asarray(scheduler.alphas_cumprod, dtype=np.float64)[timesteps]
    return timesteps, _Levels(np.sqrt(power), np.sqrt(1 - power), np.ones_like(power))


def ddim(scheduler: Any, first: int) -> StepTable | None:
    """Formula (12) of Song et al. with eta 0, https://arxiv.org/abs/2010.02502."""
    config = scheduler.config
    if _is_clipped(config):
        return None
    timesteps, levels = _discrete(scheduler, first)
    # One stride down, whatever the spacing: the next timestep of the schedule may be another one.
    power = _alphas(scheduler, timesteps - config.num_train_timesteps // scheduler.num_inference_steps)
    carry = np.sqrt(1 - power) / levels.noise
    return _table(scheduler, first, levels, carry, np.sqrt(power) - levels.clean * carry)


def lcm(scheduler: Any, first: int) -> StepTable | None:
    """Multistep consistency sampling: Luo et al., algorithm 3 and appendix B (boundary conditions, sigma_data 0.5),
    https://arxiv.org/abs/2310.04378."""
    config = scheduler.config
    if _is_clipped(config):
        return None
    timesteps, levels = _discrete(scheduler, first)
    scaled = timesteps * config.timestep_scaling
    skip = 0.25 / (scaled**2 + 0.25)
    keep = scaled / np.sqrt(scaled**2 + 0.25)
    power = np.append(_alphas(scheduler, timesteps[1:]), 1.0)
    signal = np.sqrt(power)
    return _table(scheduler, first, levels, signal * skip, signal * keep, noise=np.sqrt(1 - power))


def _is_multistep(config: Any) -> bool:
    """Whether a multistep solver keeps to noise levels of UNet models and at most one remembered prediction more."""
    is_odd = config.get("use_flow_sigmas") or config.get("variance_type") in ("learned", "learned_range")
    return config.solver_order in (1, 2) and not _is_clipped(config) and not is_odd


def dpmpp(scheduler: Any, first: int) -> StepTable | None:
    """DPM-Solver++ multistep of order 2 (or 1), and its SDE form: Lu et al., algorithm 2 and appendix A (SDE),
    https://arxiv.org/abs/2211.01095."""
    config = scheduler.config
    if not _is_multistep(config):
        return None
    sigmas = _sigmas(scheduler, first)
    now, later = sigmas[:-1], sigmas[1:]
    alpha = _alpha(later)
    step = np.log(now / later)
    decay = later / now  # exp(-step)
    carry, spread, stretch = (later * alpha) / (now * _alpha(now)), 1 - decay, step
    noise = None
    if config.algorithm_type == "sde-dpmsolver++":
        noise = later * alpha * np.sqrt(1 - decay**2)
        carry, spread, stretch = carry * decay, 1 - decay**2, 2 * step
    direct = alpha * spread
    slope = direct / 2 if config.solver_type == "midpoint" else alpha * (1 - spread / stretch)
    last_step = np.log(np.append(np.nan, now[:-1]) / now)
    bend = np.where(_is_second_order(scheduler, first), slope * step / last_step, 0.0)
    return _table(scheduler, first, _preserving(sigmas), carry, direct + bend, previous=-bend, noise=noise)


def _is_second_order(scheduler: Any, first: int) -> NDArray[np.bool_]:
    """By step: the first has nothing to remember, the last must not extrapolate beyond the clean latent."""
    config, total = scheduler.config, len(scheduler.timesteps)
    second: NDArray[np.bool_] = np.arange(first, total) > first
    lowers_last = config.lower_order_final and total < 15
    if config.euler_at_final or lowers_last or config.final_sigmas_type == "zero":
        second[-1] = False
    return second if config.solver_order == 2 else np.zeros_like(second)


def unipc(scheduler: Any, first: int) -> StepTable | None:
    """UniPC of order 2 (or 1) with B(h) = e^h - 1, on predictions of the clean latent: Zhao et al., algorithms 5 to 8,
    https://arxiv.org/abs/2302.04867.

    The corrector reworks the last step's result from the sample before it. That sample is eliminated: the predictor's
    own formula gives it from x. What remains is x plus a weighted sum of the last three predictions.
    """
    config = scheduler.config
    is_other = not config.predict_x0 or config.solver_type != "bh2" or config.disable_corrector or config.solver_p
    if is_other or not _is_multistep(config):
        return None
    sigmas = _sigmas(scheduler, first)
    alpha, steps = _alpha(sigmas), np.log(sigmas[:-1] / sigmas[1:])
    num_steps = len(steps)
    orders = np.minimum(config.solver_order, np.arange(1, num_steps + 1))
    if config.lower_order_final:
        orders = np.minimum(orders, np.arange(num_steps, 0, -1))
    carry = (sigmas * alpha)[1:] / (sigmas * alpha)[:-1]
    gain = alpha[1:] * (1 - sigmas[1:] / sigmas[:-1])
    weights = np.zeros((num_steps, 3))
    for index in range(num_steps):
        if index > 0:
            weights[index] = carry[index] * gain[index - 1] * _correction(steps, orders[index - 1], index - 1)
        weights[index] += gain[index] * _extrapolation(steps, orders[index], index)
    direct, previous, before = (column.copy() for column in weights.T)
    return _table(scheduler, first, _preserving(sigmas), carry, direct, previous=previous, before=before)


def _ratio(steps: Floats, index: int) -> np.float64:
    """Of the step before `index` to the step at it, negative because it lies behind."""
    ratio: np.float64 = -steps[index - 1] / steps[index]
    return ratio


def _extrapolation(steps: Floats, order: int, index: int) -> Floats:
    """UniP at step `index`: weights of the predictions at this step, one and two before."""
    if order == 1:
        return np.array([1.0, 0.0, 0.0])
    slope = 0.5 / _ratio(steps, index)
    return np.array([1.0 - slope, slope, 0.0])


def _correction(steps: Floats, order: int, index: int) -> Floats:
    """UniC after step `index`: what it adds to that step's result, as weights of the predictions at the result, at the
    step, and one before the step."""
    if order == 1:
        return np.array([0.5, -0.5, 0.0])
    ratio, size = _ratio(steps, index), -steps[index]
    growth = np.expm1(size)
    phi = growth / size - 1
    first, second = phi / growth, 2 * (phi / size - 0.5) / growth
    behind = (first - second) / (1 - ratio)
    ahead = first - behind
    bend = (0.5 - behind) / ratio
    return np.array([ahead, bend - ahead, -bend])
