"""Weight conversion, run as a program: `python -m deployments.engines.convert gguf FILE FOLDER`.

Apart from the servers, because it loads a whole model once and should give the memory back. It needs no network, says
nothing when it succeeds, and ends with one sentence and status 1 when it cannot.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

_MAX_THREADS = 4
_MACHINE_KEYS = ("is_local", "local_files_only", "_name_or_path", "name_or_path")
"""What transformers writes into tokenizer_config.json about the machine it ran on."""


def main(arguments: list[str] | None = None) -> int:
    """Convert, and give the exit status."""
    parser = argparse.ArgumentParser(prog="convert", description=__doc__)
    parser.add_argument("format", choices=["gguf"])
    parser.add_argument("source", type=Path, help="the GGUF file")
    parser.add_argument("target", type=Path, help="the folder to make; it must not exist")
    chosen = parser.parse_args(arguments)
    if not chosen.source.is_file() or chosen.target.exists():
        sys.stderr.write(f"{chosen.source} is no file, or {chosen.target} is there already\n")
        return 1
    _quieten()
    try:
        convert_gguf(chosen.source, chosen.target)
    except Exception as error:
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    return 0


def _quieten() -> None:
    """Before torch and transformers are imported: they read these once."""
    threads = str(min(_MAX_THREADS, os.cpu_count() or 1))
    os.environ |= {
        "OMP_NUM_THREADS": threads,
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
    }
    warnings.simplefilter("ignore")


def convert_gguf(source: Path, target: Path) -> None:
    """Write `source`, dequantized, as bfloat16 safetensors with its tokenizer and chat template into `target`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    torch.set_num_threads(min(_MAX_THREADS, os.cpu_count() or 1))
    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    model = AutoModelForCausalLM.from_pretrained(
        **where, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    tokenizer = AutoTokenizer.from_pretrained(**where)
    tokenizer.model_max_length = model.config.max_position_embeddings
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    _forget_machine(target / "tokenizer_config.json")
    for path in target.iterdir():
        path.chmod(0o644)


def _forget_machine(path: Path) -> None:
    body = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in body.items() if k not in _MACHINE_KEYS}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
