"""The stages, in order of worth; `benchmarks/gpu.sh` runs each in a process of its own.

    python -m benchmarks.gpu [--only STAGE,...] [--folder DIR] [--device cpu --tiny]

Figures go to DIR/STAGE.json after each measurement. A finished stage is skipped, an unfinished one goes on.
"""

import argparse
import json
import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import diffusers
import torch

from benchmarks.gpu import adapters, ceilings, checks, company, speed, variants
from benchmarks.gpu.record import DeviceBroken, Record
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.summary import summary
from benchmarks.machine import machine, versions
from deployments.engines.diffusion import memory

Stage = Callable[[Record, Setting], None]
STAGES: Mapping[str, Stage] = {
    "ceilings": ceilings.run,
    "sdxl": partial(speed.run_engine, name="sdxl"),
    "sdxl_compiled": partial(speed.run_compiled, name="sdxl"),
    "sd15": partial(speed.run_engine, name="sd15"),
    "sd15_compiled": partial(speed.run_compiled, name="sd15"),
    "poisson": partial(company.run, name="sdxl"),
    "checks": partial(checks.run, name="sdxl"),
    "adapters": partial(adapters.run, name="sdxl"),
    "variants": partial(variants.run, name="sdxl"),
}
UNFINISHED = 3
"""Exit status: something waits for another run."""
logger = logging.getLogger("benchmarks.gpu")


def main() -> int:
    """Run what is not finished."""
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    warnings.filterwarnings("ignore", category=FutureWarning)
    diffusers.utils.logging.set_verbosity_error()
    if options.device == "cpu":
        torch.set_num_threads(1)
    setting = Setting(options.device, options.tiny, options.folder)
    stages = options.only.split(",") if options.only else list(STAGES)
    unfinished = [] if options.summary else [name for name in stages if not _run(name, setting, options)]
    print(json.dumps(summary(setting), indent=1))
    return UNFINISHED if unfinished else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help=f"stages, with commas between: {', '.join(STAGES)}")
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results/gpu"), help="of the stages' figures")
    parser.add_argument("--budget", type=float, default=480.0, help="seconds of a stage after which nothing is begun")
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--tiny", action="store_true", help="tiny models: a rehearsal of every line but the GPU's")
    parser.add_argument("--retry", action="store_true", help="also measure again what ended with an error")
    parser.add_argument("--summary", action="store_true", help="only print what there is")
    options = parser.parse_args()
    if options.only and (unknown := set(options.only.split(",")) - set(STAGES)):
        parser.error(f"no such stage: {', '.join(sorted(unknown))}; there are {', '.join(STAGES)}")
    return options


def _run(name: str, setting: Setting, options: argparse.Namespace) -> bool:
    """One stage; whether all of it is there."""
    record = Record(setting.folder / f"{name}.json", options.budget, _facts(setting), memory.release)
    if options.retry:
        record.forget_errors()
    elif record.is_complete:
        logger.info("%s: finished before", name)
        return True
    logger.info("%s begins", name)
    try:
        STAGES[name](record, setting)
    except DeviceBroken as broken:
        logger.exception("%s: the device answers no more after %s", name, broken)
        return False
    except Exception as error:
        # Outside of any measurement: a model that cannot be made, say.
        logger.exception("%s failed", name)
        record.note("failed", f"{type(error).__name__}: {error}"[:2000])
        return False
    record.end()
    return record.is_complete


def _facts(setting: Setting) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "is_tiny": setting.is_tiny,
        "device": torch.cuda.get_device_name() if setting.is_cuda else "cpu",
        "cuda": torch.version.cuda,
        "machine": machine(),
        "versions": versions(),
    }


if __name__ == "__main__":
    sys.exit(main())
