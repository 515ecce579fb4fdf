"""GGUF -> safetensors, in a subprocess: the model library lives there, and its memory goes when it ends."""

import sys
from collections.abc import Mapping
from pathlib import Path

from serve.catalog.sources.source import DownloadProgress, Report, refusal
from serve.catalog.subprocesses import run_beside
from serve.catalog.weight_store import folder_sizes

CONVERTER_VERSION = 1
"""Part of the cache's key: raised when the same GGUF file should be converted anew."""
EXPECTED_GROWTH = 4
"""Room kept per byte of GGUF: 4 to 5 bits a weight become 16."""

_MODULE = "deployments.engines.convert"


def convert_gguf(source: Path, target: Path, environment: Mapping[str, str], report: Report) -> None:
    """Make the folder `target` from the file `source`.

    Raises:
        InvalidRequest: `conversion_failed`, with the converter's last words.
    """
    log = target.with_name("convert.log")
    command = [sys.executable, "-m", _MODULE, "gguf", str(source), str(target)]

    def tell() -> None:
        # How much there will be, nobody knows.
        report(DownloadProgress(source.name, sum(folder_sizes(target).values()), 0, "convert"))

    try:
        status = run_beside(command, log, {**environment, "HF_HUB_OFFLINE": "1"}, tell)
    except TimeoutError as error:
        raise refusal("conversion_failed", f"{source.name} cannot be converted to safetensors: {error}") from None
    if status:
        last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise refusal("conversion_failed", f"{source.name} cannot be converted to safetensors: {last[:400]}")
