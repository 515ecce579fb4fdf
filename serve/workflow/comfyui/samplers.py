"""ComfyUI's samplers and schedulers, by our names for them."""

from dataclasses import dataclass

from serve.domain.images import Sampler

_EQUAL: dict[str, Sampler] = {
    "euler": Sampler.EULER,
    "euler_ancestral": Sampler.EULER_ANCESTRAL,
    "heun": Sampler.HEUN,
    "dpm_2": Sampler.DPM2,
    "dpm_2_ancestral": Sampler.DPM2_ANCESTRAL,
    "dpmpp_2m": Sampler.DPMPP_2M,
    "dpmpp_2m_sde": Sampler.DPMPP_2M_SDE,
    "dpmpp_2m_sde_gpu": Sampler.DPMPP_2M_SDE,
    "dpmpp_3m_sde": Sampler.DPMPP_3M_SDE,
    "dpmpp_3m_sde_gpu": Sampler.DPMPP_3M_SDE,
    "ddpm": Sampler.DDPM,
    "ddim": Sampler.DDIM,
    "lcm": Sampler.LCM,
    "deis": Sampler.DEIS,
    "uni_pc_bh2": Sampler.UNIPC,
    "sa_solver": Sampler.SA_SOLVER,
}
_NEAREST: dict[str, Sampler] = {
    "euler_cfg_pp": Sampler.EULER,
    "euler_ancestral_cfg_pp": Sampler.EULER_ANCESTRAL,
    "heunpp2": Sampler.HEUN,
    "exp_heun_2_x0": Sampler.HEUN,
    "exp_heun_2_x0_sde": Sampler.DPMPP_2M_SDE,
    "lms": Sampler.EULER,
    "dpm_fast": Sampler.DPMPP_2M,
    "dpm_adaptive": Sampler.DPMPP_2M,
    "dpmpp_2s_ancestral": Sampler.DPMPP_2S,
    "dpmpp_2s_ancestral_cfg_pp": Sampler.DPMPP_2S,
    "dpmpp_sde": Sampler.DPMPP_2M_SDE,
    "dpmpp_sde_gpu": Sampler.DPMPP_2M_SDE,
    "dpmpp_2m_cfg_pp": Sampler.DPMPP_2M,
    "dpmpp_2m_sde_heun": Sampler.DPMPP_2M_SDE,
    "dpmpp_2m_sde_heun_gpu": Sampler.DPMPP_2M_SDE,
    "ipndm": Sampler.PNDM,
    "ipndm_v": Sampler.PNDM,
    "res_multistep": Sampler.DPMPP_2M,
    "res_multistep_cfg_pp": Sampler.DPMPP_2M,
    "res_multistep_ancestral": Sampler.EULER_ANCESTRAL,
    "res_multistep_ancestral_cfg_pp": Sampler.EULER_ANCESTRAL,
    "gradient_estimation": Sampler.EULER,
    "gradient_estimation_cfg_pp": Sampler.EULER,
    "er_sde": Sampler.DPMPP_2M_SDE,
    "seeds_2": Sampler.DPMPP_2M_SDE,
    "seeds_3": Sampler.DPMPP_3M_SDE,
    "sa_solver_pece": Sampler.SA_SOLVER,
    "uni_pc": Sampler.UNIPC,
}
_USUAL = {"ddim": "ddim_uniform", "lcm": "sgm_uniform"}
"""The schedulers that these are taken with; ours choose such steps by themselves."""


@dataclass(frozen=True, slots=True)
class SamplerChoice:
    """`name` is ours, or the word itself where nothing here is like it. `differs` says how, in words that go on from
    the name of the node; None where it is the same."""

    name: str
    differs: str | None = None


def sampler_for(sampler: str, scheduler: str) -> SamplerChoice:
    """Our name for a sampler with a scheduler. A sampler that nobody knows keeps its name, and is refused with it."""
    found = _EQUAL.get(sampler) or _NEAREST.get(sampler)
    if found is None:
        return SamplerChoice(sampler, f"the sampler {sampler[:60]} has no equivalent here: choose another")
    differs = [] if sampler in _EQUAL else [f"the sampler {sampler} is not served, {found} is the nearest to it"]
    if scheduler == "karras":
        karras = f"{found}_karras"
        if karras in set(Sampler):
            found = Sampler(karras)
        else:
            differs.append(f"{found} is not served with karras steps")
    elif scheduler not in ("normal", _USUAL.get(sampler)):
        differs.append(f"the scheduler {scheduler[:60]} is not served, the steps are as with normal")
    return SamplerChoice(str(found), "; ".join(differs) or None)
