"""The stages' figures on one page, and whether the aims were met."""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.gpu.setting import Setting

SATURATED_AIM: Final = 0.5
"""Share of the measured matrix peak, SDXL at 1024 x 1024, every row taken."""
LEVEL: Final = 0.97
"""At batch 1 ours is level with compiled diffusers from here on."""
_SYSTEMS: Final = ("engine", "engine_eager", "diffusers_eager", "diffusers_blocks", "diffusers_whole")


def summary(setting: Setting) -> dict[str, Any]:
    """Images a second, milliseconds of a step and share of the peak by model, system and rows."""
    models = {name: _model(setting, name) for name in ("sdxl", "sd15")}
    return {
        "peak_tflops": setting.peak_tflops(),
        "aims": _aims(models["sdxl"]),
        "models": models,
        "poisson": setting.notes_of("poisson").get("aims"),
        "equality": _part(setting.figures_of("checks").get("equality"), "worst_db", "met"),
        "out_of_memory": setting.figures_of("checks").get("out_of_memory"),
        "adapters": {
            "kept": setting.notes_of("adapters").get("kept"),
            "bind_ms": setting.figures_of("adapters").get("bind_ms"),
        },
        "errors": {name: list(errors) for name in setting.stages() if (errors := setting.errors_of(name))},
        "failed": {name: told for name in setting.stages() if (told := setting.notes_of(name).get("failed"))},
        "unfinished": [name for name in setting.stages() if not setting.is_complete(name)],
    }


def _model(setting: Setting, name: str) -> dict[str, Any]:
    found = setting.figures_of(name) | setting.figures_of(f"{name}_compiled")
    systems = {system: _by_rows(found, f"pictures/{system}/") for system in _SYSTEMS}
    forwards = {kind: _by_rows(found, f"forward/{kind}/") for kind in ("graphs", "blocks", "eager")}
    return {
        "columns": "rows: images a second, ms of a step, share of the peak",
        "pictures": {
            system: {
                rows: [one["images_per_second"], one["ms_per_step"], one["share_of_peak"]] for rows, one in by.items()
            }
            for system, by in systems.items()
            if by
        },
        "forward": {
            kind: {rows: [one["ms"], one["share_of_peak"]] for rows, one in by.items()}
            for kind, by in forwards.items()
            if by
        },
        "saturated": _by_rows(found, "saturated/engine/"),
        "decode_ms": found.get("decode_ms"),
        "engine_start": found.get("engine_start"),
    }


def _by_rows(found: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in found.items() if name.startswith(prefix)}


def _aims(sdxl: Mapping[str, Any]) -> dict[str, Any]:
    shares = [one["share_of_peak"] for one in sdxl["saturated"].values() if one["share_of_peak"] is not None]
    ours = sdxl["pictures"].get("engine", {}).get("2")
    rivals = [by["2"][0] for name, by in sdxl["pictures"].items() if name.startswith("diffusers_") and "2" in by]
    ratio = round(ours[0] / max(rivals), 3) if ours and rivals else None
    return {
        "saturated_share_of_peak": {
            "aim": SATURATED_AIM,
            "found": max(shares, default=None),
            "met": max(shares) >= SATURATED_AIM if shares else None,
        },
        "batch_1_by_best_diffusers": {"aim": LEVEL, "found": ratio, "met": ratio >= LEVEL if ratio else None},
    }


def _part(whole: Any, *names: str) -> dict[str, Any] | None:
    return None if whole is None else {name: whole[name] for name in names}
