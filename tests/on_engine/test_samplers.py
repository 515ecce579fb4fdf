"""Our steps against diffusers' own schedulers, driven as its pipelines drive them."""

import copy
import functools
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from fakes.gateway import model_document
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.engines.diffusion.samplers import SAMPLER_NAMES, TABLE_SAMPLERS, Denoise, StepTable, Stepwise, prepare
from serve.domain.errors import InvalidRequest
from serve.domain.task import Task
from serve.metering.prices.ceiling import ceiling


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """diffusers logs every setting that a scheduler does not know."""
    level = diffusers.utils.logging.get_verbosity()
    diffusers.utils.logging.set_verbosity_error()
    yield
    diffusers.utils.logging.set_verbosity(level)


SHAPE = (1, 4, 4, 4)
TOLERANCE = 1e-5
STEPS = (1, 2, 3, 4, 10, 25, 50)
STRENGTHS = (None, 0.3, 0.75, 1.0)

SD15 = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.6.0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
SDXL = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.19.0.dev0",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "clip_sample": False,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "leading",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
CONFIGS = {"sd15": SD15, "sdxl": SDXL}

KARRAS = {"use_karras_sigmas": True, "use_exponential_sigmas": False}
SDE = {"algorithm_type": "sde-dpmsolver++"}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
STOCK: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_karras": ("EulerDiscreteScheduler", KARRAS),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", KARRAS),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", SDE),
    "dpmpp_2m_sde_karras": ("DPMSolverMultistepScheduler", SDE | KARRAS),
    "unipc": ("UniPCMultistepScheduler", {}),
    "unipc_karras": ("UniPCMultistepScheduler", KARRAS),
    "lcm": ("LCMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2_karras": ("KDPM2DiscreteScheduler", KARRAS),
    "dpm2_ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpm2_ancestral_karras": ("KDPM2AncestralDiscreteScheduler", KARRAS),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", {}),
    "dpmpp_2s_karras": ("DPMSolverSinglestepScheduler", KARRAS),
    "dpmpp_3m_sde": ("DPMSolverMultistepScheduler", SDE | {"solver_order": 3}),
    "dpmpp_3m_sde_karras": ("DPMSolverMultistepScheduler", SDE | KARRAS | {"solver_order": 3}),
    "heun": ("HeunDiscreteScheduler", {}),
    "heun_karras": ("HeunDiscreteScheduler", KARRAS),
    "pndm": ("PNDMScheduler", {}),
    "sa_solver": ("SASolverScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}
TABLES = sorted(TABLE_SAMPLERS)
OTHERS = [name for name in SAMPLER_NAMES if name not in TABLE_SAMPLERS]


@dataclass(frozen=True)
class Job:
    """What a pipeline is given."""

    num_steps: int
    strength: float | None = None
    is_masked: bool = False
    seed: int = 0

    def draw(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Generator]:
        """Clean latents, noise, a mask (1 is painted), and the generator that draws what is needed later."""
        generator = torch.Generator().manual_seed(self.seed)
        clean, noise = torch.randn(2, *SHAPE, generator=generator)
        mask = (torch.rand(SHAPE, generator=generator) > 0.5).float()
        return clean, noise, mask, generator

    @property
    def starts_from_noise(self) -> bool:
        return self.strength is None or (self.is_masked and self.strength == 1.0)


def model(x: torch.Tensor, timestep: float) -> torch.Tensor:
    """A smooth guess that depends on all it is told."""
    return torch.tanh(0.9 * x + 0.2 * np.sin(timestep / 150) - 0.1 * x.roll(1, -1))


def stock_scheduler(sampler: str, config: Mapping[str, Any]) -> Any:
    return copy.deepcopy(_stock_scheduler(sampler, json.dumps(dict(config))))


@functools.lru_cache(maxsize=64)
def _stock_scheduler(sampler: str, config: str) -> Any:
    """Some take a tenth of a second to build."""
    name, changes = STOCK[sampler]
    return getattr(diffusers, name).from_config(json.loads(config), **changes)


def stock_result(
    sampler: str, config: Mapping[str, Any], job: Job, given: tuple[torch.Tensor, torch.Generator] | None = None
) -> torch.Tensor:
    """The loop of StableDiffusionPipeline, its Img2Img and its Inpaint sibling, without the networks."""
    scheduler = stock_scheduler(sampler, config)
    scheduler.set_timesteps(job.num_steps)
    left = job.num_steps if job.strength is None else min(int(job.num_steps * job.strength), job.num_steps)
    start = max(job.num_steps - left, 0) * scheduler.order
    timesteps = scheduler.timesteps[start:]
    # Text to image of SDXL does so too; that of SD 1.5 does not, and fails where the first two timesteps are the same.
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(start)
    clean, noise, mask, generator = job.draw()
    noise, generator = given or (noise, generator)
    at_start = noise * scheduler.init_noise_sigma
    x = at_start if job.starts_from_noise else scheduler.add_noise(clean, noise, timesteps[:1])
    accepted = scheduler.step.__code__.co_varnames[: scheduler.step.__code__.co_argcount]
    extra = {"eta": 0.0} if "eta" in accepted else {}
    extra |= {"generator": generator} if "generator" in accepted else {}
    for index, timestep in enumerate(timesteps):
        out = model(scheduler.scale_model_input(x, timestep), float(timestep))
        x = scheduler.step(out, timestep, x, **extra, return_dict=False)[0]
        if job.is_masked:
            following = timesteps[index + 1 : index + 2]
            kept = scheduler.add_noise(clean, noise, following) if len(following) else clean
            x = (1 - mask) * kept + mask * x
    return x


def our_result(denoise: Denoise, job: Job) -> torch.Tensor:
    """The same job by what `prepare` returned."""
    clean, noise, mask, generator = job.draw()
    started = denoise.start_clean * clean + denoise.start_noise * noise
    x = noise * denoise.initial_noise_sigma if job.starts_from_noise else started
    step = TableSteps(denoise).step if isinstance(denoise, StepTable) else denoise.step
    for index in range(denoise.num_steps):
        fed = denoise.input_scale[index].item() * x if isinstance(denoise, StepTable) else denoise.scale_input(x, index)
        x = step(model(fed, float(denoise.timesteps[index])), index, x, generator)
        if job.is_masked:
            kept = float(denoise.blend_clean[index]) * clean + float(denoise.blend_noise[index]) * noise
            x = (1 - mask) * kept + mask * x
    return x


class TableSteps:
    """The update as StepTable's docstring defines it."""

    def __init__(self, table: StepTable) -> None:
        self._table = table
        self._history = [torch.zeros(SHAPE)] * 2

    def step(self, out: torch.Tensor, index: int, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        def at(name: str) -> float:
            return float(getattr(self._table, name)[index])

        d = at("derive_x") * x + at("derive_out") * out
        h1, h2 = self._history
        made = at("carry") * x + at("direct") * d + at("previous") * h1 + at("before") * h2
        if at("noise") != 0:
            made = made + at("noise") * torch.randn(SHAPE, generator=generator)
        self._history = [d, h1]
        return made


def distance(sampler: str, config: Mapping[str, Any], job: Job) -> float:
    """Between ours and the stock result, relative to the largest value."""
    ours = our_result(prepare(sampler, config, job.num_steps, job.strength), job)
    theirs = stock_result(sampler, config, job)
    assert torch.isfinite(theirs).all()
    return float((ours - theirs).abs().max() / theirs.abs().max())


def leaves_steps(num_steps: int, strength: float | None) -> bool:
    return strength is None or int(num_steps * strength) >= 1


COMBINATIONS = [
    pytest.param(sampler, config | {"prediction_type": prediction}, id=f"{sampler}-{prediction}-{name}")
    for sampler in TABLES
    for prediction in ("epsilon", "v_prediction", "sample")
    for name, config in CONFIGS.items()
    # diffusers' own ancestral Euler does not work with models that predict the clean latent.
    if (sampler, prediction) != ("euler_ancestral", "sample")
]


@pytest.mark.parametrize(("sampler", "config"), COMBINATIONS)
def test_a_table_makes_the_steps_of_the_stock_scheduler(sampler, config):
    for strength in STRENGTHS:
        for num_steps in STEPS:
            if leaves_steps(num_steps, strength):
                assert isinstance(prepare(sampler, config, num_steps, strength), StepTable)
                assert distance(sampler, config, Job(num_steps, strength)) <= TOLERANCE, (num_steps, strength)


@pytest.mark.parametrize("config", [SDXL, SD15 | {"prediction_type": "v_prediction"}], ids=["sdxl", "sd15-v"])
@pytest.mark.parametrize("sampler", OTHERS)
def test_the_other_samplers_make_the_steps_of_the_stock_scheduler(sampler, config):
    for num_steps, strength in [(1, None), (9, None), (7, 0.4)]:
        assert isinstance(prepare(sampler, config, num_steps, strength), Stepwise)
        assert distance(sampler, config, Job(num_steps, strength)) <= TOLERANCE, (num_steps, strength)


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_what_a_mask_keeps_is_blended_as_in_the_stock_pipeline(sampler):
    for num_steps, strength in [(1, 1.0), (8, 0.6), (12, 1.0)]:
        assert distance(sampler, SD15, Job(num_steps, strength, is_masked=True)) <= TOLERANCE, (num_steps, strength)


V_ZERO_SNR = ZERO_SNR | {"prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    ("sampler", "changes"),
    [
        ("euler", {"final_sigmas_type": "sigma_min", "timestep_spacing": "linspace"}),
        ("euler", {"timestep_type": "continuous", "prediction_type": "v_prediction"}),
        ("ddim", {"set_alpha_to_one": True}),
        ("ddim", V_ZERO_SNR),
        ("lcm", {"timestep_scaling": 0.01}),
        ("lcm", V_ZERO_SNR),
        ("dpmpp_2m", {"final_sigmas_type": "sigma_min"}),
        ("dpmpp_2m", {"final_sigmas_type": "sigma_min", "lower_order_final": False}),
        ("dpmpp_2m", {"final_sigmas_type": "sigma_min", "lower_order_final": False, "euler_at_final": True}),
        ("dpmpp_2m", {"solver_type": "heun"}),
        ("dpmpp_2m", {"solver_order": 1}),
        ("dpmpp_2m", {"use_lu_lambdas": True}),
        ("dpmpp_2m_sde", {"solver_type": "heun", "final_sigmas_type": "sigma_min"}),
        ("unipc", {"final_sigmas_type": "sigma_min", "lower_order_final": False}),
        ("unipc", {"solver_order": 1}),
    ],
    ids=str,
)
def test_a_table_follows_the_configuration(sampler, changes):
    for job in (Job(6), Job(14), Job(15), Job(15, 0.5, is_masked=True)):
        assert isinstance(prepare(sampler, SD15 | changes, job.num_steps, job.strength), StepTable)
        assert distance(sampler, SD15 | changes, job) <= TOLERANCE


CONFIGURATIONS = st.fixed_dictionaries(
    {
        "timestep_spacing": st.sampled_from(["leading", "linspace", "trailing"]),
        "steps_offset": st.sampled_from([0, 1]),
        "prediction_type": st.sampled_from(["epsilon", "v_prediction", "sample"]),
    },
    optional={
        "rescale_betas_zero_snr": st.booleans(),
        "set_alpha_to_one": st.booleans(),
        "clip_sample": st.booleans(),
        "thresholding": st.booleans(),
        "use_karras_sigmas": st.booleans(),
        "use_exponential_sigmas": st.booleans(),
        "final_sigmas_type": st.sampled_from(["zero", "sigma_min"]),
        "solver_order": st.sampled_from([1, 2, 3]),
        "solver_type": st.sampled_from(["midpoint", "heun", "bh1", "bh2"]),
        "lower_order_final": st.booleans(),
        "euler_at_final": st.booleans(),
        "predict_x0": st.booleans(),
        "timestep_scaling": st.sampled_from([10.0, 0.01]),
        "disable_corrector": st.sampled_from([[], [0], [1, 2]]),
        "beta_schedule": st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"]),
    },
)
JOBS = st.builds(
    Job, st.integers(1, 60), st.none() | st.floats(0.02, 1.0), st.booleans(), st.integers(0, 2**32)
).filter(lambda job: leaves_steps(job.num_steps, job.strength) and not (job.is_masked and job.strength is None))


@settings(max_examples=150, deadline=None)
@given(sampler=st.sampled_from(TABLES), changes=CONFIGURATIONS, job=JOBS)
def test_whatever_a_configuration_asks_for_the_result_is_the_stock_one(sampler, changes, job):
    config = SD15 | changes
    try:
        denoise = prepare(sampler, config, job.num_steps, job.strength)
    except InvalidRequest:
        assert not is_possible(sampler, config, job)
        return
    ours, theirs = our_result(denoise, job), stock_result(sampler, config, job)
    assert float((ours - theirs).abs().max()) <= TOLERANCE * scale(denoise, theirs)


def is_possible(sampler: str, config: Mapping[str, Any], job: Job) -> bool:
    """Whether diffusers makes a picture of it."""
    try:
        return bool(torch.isfinite(stock_result(sampler, config, job)).all())
    except (ValueError, NotImplementedError, IndexError, torch.linalg.LinAlgError):
        return False


def scale(denoise: Denoise, result: torch.Tensor) -> float:
    """The largest value there was on the way: what the first step cancels, it cannot give back the digits of."""
    return max(float(result.abs().max()), denoise.initial_noise_sigma, float(denoise.blend_noise.max()))


@pytest.mark.parametrize(
    ("sampler", "changes"),
    [
        ("ddim", {"clip_sample": True}),
        ("ddim", {"thresholding": True}),
        ("lcm", {"clip_sample": True}),
        ("dpmpp_2m", {"thresholding": True}),
        ("dpmpp_2m", {"solver_order": 3}),
        ("unipc", {"solver_order": 3}),
        ("unipc", {"predict_x0": False, "final_sigmas_type": "sigma_min"}),
        ("unipc", {"disable_corrector": [1]}),
    ],
    ids=str,
)
def test_what_no_table_can_say_goes_step_by_step_with_the_same_sampler(sampler, changes):
    config = SD15 | changes
    assert isinstance(prepare(sampler, config, 8), Stepwise)
    assert distance(sampler, config, Job(8)) <= TOLERANCE
    assert distance(sampler, config, Job(8, 0.5)) <= TOLERANCE


@pytest.mark.parametrize(
    ("sampler", "changes", "num_steps", "strength", "code", "param"),
    [
        ("lcm", {}, 51, None, "unsupported_steps", "steps"),
        ("tcd", {}, 51, 0.5, "unsupported_steps", "steps"),
        ("lcm", {"original_inference_steps": 8}, 9, None, "unsupported_steps", "steps"),
        ("ddim", {"num_train_timesteps": 100}, 101, None, "unsupported_steps", "steps"),
        ("euler", {}, 3, 0.3, "unsupported_steps", "steps"),
        ("euler_ancestral", {"prediction_type": "sample"}, 5, None, "unsupported_sampler", "sampler"),
        ("dpm2", {"prediction_type": "sample"}, 5, None, "unsupported_sampler", "sampler"),
        ("euler", {"prediction_type": "velocity"}, 5, None, "unsupported_sampler", "sampler"),
        ("ddim", ZERO_SNR, 5, None, "unsupported_sampler", "sampler"),
        ("lms", {}, 5, None, "unsupported_sampler", "sampler"),
    ],
)
def test_what_diffusers_cannot_do_is_refused_before_any_step(sampler, changes, num_steps, strength, code, param):
    with pytest.raises(InvalidRequest) as refused:
        prepare(sampler, SD15 | changes, num_steps, strength)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_an_unknown_sampler_is_answered_with_the_known_ones():
    with pytest.raises(InvalidRequest, match="euler_ancestral"):
        prepare("dpm++", SD15, 5)


@pytest.mark.parametrize("sampler", TABLES)
def test_what_a_table_remembers_is_the_clean_latent_that_the_model_predicts(sampler):
    table = prepare(sampler, SD15, 12, 0.8)
    assert isinstance(table, StepTable)
    clean, noise = np.random.default_rng(0).standard_normal((2, 16))
    amounts = zip([table.start_clean, *table.blend_clean], [table.start_noise, *table.blend_noise], strict=True)
    for (a, s), derive_x, derive_out in zip(amounts, table.derive_x, table.derive_out, strict=False):
        np.testing.assert_allclose(derive_x * (a * clean + s * noise) + derive_out * noise, clean, atol=1e-9)


def test_a_table_is_built_once_and_cannot_be_written_to():
    table = prepare("unipc", SD15, 30, 0.5)
    assert prepare("unipc", dict(reversed(SD15.items())), 30, 0.5) is table
    for field in fields(table):
        values = getattr(table, field.name)
        if isinstance(values, np.ndarray):
            assert values.dtype == np.float64
            assert values.shape == (15,)
            assert not values.flags.writeable


def reusing_buffers(sampler: str, seed: int) -> Iterator[torch.Tensor]:
    """The latents of one image after each step; what the steps were given is overwritten, as an engine does."""
    denoise = prepare(sampler, SD15, 6)
    assert isinstance(denoise, Stepwise)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(SHAPE[1:], generator=generator) * denoise.initial_noise_sigma
    out = torch.empty_like(x)
    for index in range(denoise.num_steps):
        out.copy_(model(denoise.scale_input(x, index), float(denoise.timesteps[index])))
        x.copy_(denoise.step(out, index, x, generator))
        yield x


@pytest.mark.parametrize("sampler", OTHERS)
def test_images_that_step_by_turns_in_reused_memory_come_out_as_alone(sampler):
    job = Job(6)
    wanted = []
    for seed in (1, 2):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(SHAPE[1:], generator=generator)
        wanted.append(stock_result(sampler, SD15, job, (noise[None], generator))[0])
    for mixed in zip(reusing_buffers(sampler, 1), reusing_buffers(sampler, 2), strict=True):
        results = mixed
    for result, expected in zip(results, wanted, strict=True):
        torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(SAMPLER_NAMES))
def test_no_sampler_makes_more_steps_than_a_calls_ceiling(name: str) -> None:
    spec = model_document("p", ["text_to_image"], family="text_to_image").spec
    for config in (SDXL, SD15 | {"skip_prk_steps": False}):
        for steps, strength in itertools.product((4, 25), (None, 0.3, 1.0)):
            if strength and int(steps * strength) < 1:
                continue
            inputs = {"prompt": "", "width": 64, "height": 64, "sampler": name, "steps": steps, "strength": strength}
            bound = ceiling(Task.TEXT_TO_IMAGE, inputs, spec)
            assert prepare(name, config, steps, strength).num_steps <= bound.steps
