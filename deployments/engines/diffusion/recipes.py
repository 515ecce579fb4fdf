"""What each sampler's name stands for: a scheduler of diffusers, what it changes in a model's scheduler configuration,
and the table that runs it batched, if there is one. Imports neither torch nor diffusers.

A name settles only what it says: `dpmpp_2m` is the multistep solver of that algorithm, `_karras` asks for Karras's
noise levels. All else (spacing, offset, last noise level, prediction type) stays as the model's configuration has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.engines.diffusion import tables


@dataclass(frozen=True, slots=True)
class Recipe:
    """`scheduler` is a class of diffusers; `changes` overrides its configuration; no `table` means step by step."""

    scheduler: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    table: tables.Build | None = None


# Each excludes the others: a configuration that asks for two is refused by diffusers.
_KARRAS = {"use_karras_sigmas": True, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_DPMPP = {"algorithm_type": "dpmsolver++"}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_3M_SDE = {**_SDE, "solver_order": 3}

RECIPES: dict[str, Recipe] = {
    "euler": Recipe("EulerDiscreteScheduler", table=tables.euler),
    "euler_karras": Recipe("EulerDiscreteScheduler", _KARRAS, tables.euler),
    "euler_ancestral": Recipe("EulerAncestralDiscreteScheduler", table=tables.euler_ancestral),
    "ddim": Recipe("DDIMScheduler", table=tables.ddim),
    "dpmpp_2m": Recipe("DPMSolverMultistepScheduler", _DPMPP, tables.dpmpp),
    "dpmpp_2m_karras": Recipe("DPMSolverMultistepScheduler", _DPMPP | _KARRAS, tables.dpmpp),
    "dpmpp_2m_sde": Recipe("DPMSolverMultistepScheduler", _SDE, tables.dpmpp),
    "dpmpp_2m_sde_karras": Recipe("DPMSolverMultistepScheduler", _SDE | _KARRAS, tables.dpmpp),
    "unipc": Recipe("UniPCMultistepScheduler", table=tables.unipc),
    "unipc_karras": Recipe("UniPCMultistepScheduler", _KARRAS, tables.unipc),
    "lcm": Recipe("LCMScheduler", table=tables.lcm),
    "ddpm": Recipe("DDPMScheduler"),
    "deis": Recipe("DEISMultistepScheduler"),
    "dpm2": Recipe("KDPM2DiscreteScheduler"),
    "dpm2_karras": Recipe("KDPM2DiscreteScheduler", _KARRAS),
    "dpm2_ancestral": Recipe("KDPM2AncestralDiscreteScheduler"),
    "dpm2_ancestral_karras": Recipe("KDPM2AncestralDiscreteScheduler", _KARRAS),
    "dpmpp_2s": Recipe("DPMSolverSinglestepScheduler", _DPMPP),
    "dpmpp_2s_karras": Recipe("DPMSolverSinglestepScheduler", _DPMPP | _KARRAS),
    "dpmpp_3m_sde": Recipe("DPMSolverMultistepScheduler", _3M_SDE),
    "dpmpp_3m_sde_karras": Recipe("DPMSolverMultistepScheduler", _3M_SDE | _KARRAS),
    "heun": Recipe("HeunDiscreteScheduler"),
    "heun_karras": Recipe("HeunDiscreteScheduler", _KARRAS),
    "pndm": Recipe("PNDMScheduler"),
    "sa_solver": Recipe("SASolverScheduler"),
    "tcd": Recipe("TCDScheduler"),
}

SAMPLER_NAMES: tuple[str, ...] = tuple(RECIPES)
"""Every sampler, as `serve.domain.images.Sampler` lists them. LMS and DPM++ SDE are not here: they need scipy and
torchsde."""
TABLE_SAMPLERS: frozenset[str] = frozenset(name for name, recipe in RECIPES.items() if recipe.table is not None)
"""Those that run as one fused update, unless a model's configuration asks for what a table cannot say."""
