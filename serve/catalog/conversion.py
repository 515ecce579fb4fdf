"""GGUF -> safetensors, in a subprocess: the model library lives there, and its memory goes when it ends."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from serve.catalog.sources.source import DownloadProgress, Report, refusal
from serve.catalog.weight_store import folder_sizes

CONVERTER_VERSION = 1
"""Part of the cache's key: raised when the same GGUF file should be converted anew."""
EXPECTED_GROWTH = 4
"""Room kept per byte of GGUF: 4 to 5 bits a weight become 16."""

_MODULE = "deployments.engines.convert"
_TIMEOUT_SECONDS = 3600.0
_POLL_SECONDS = 0.5


def convert_gguf(source: Path, target: Path, environment: Mapping[str, str], report: Report) -> None:
    """Make the folder `target` from the file `source`.

    Raises:
        InvalidRequest: `conversion_failed`, with the converter's last words.
    """
    log = target.with_name("convert.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, "gguf", str(source), str(target)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**environment, "HF_HUB_OFFLINE": "1"},
        )
        try:
            _watch(process, source.name, target, report)
        finally:
            process.kill()
            process.wait()
    if process.returncode:
        last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise refusal("conversion_failed", f"{source.name} cannot be converted to safetensors: {last[:400]}")


def _watch(process: "subprocess.Popen[bytes]", name: str, target: Path, report: Report) -> None:
    """Report what is written so far; how much there will be, nobody knows."""
    waited = 0.0
    while True:
        report(DownloadProgress(name, sum(folder_sizes(target).values()), 0, "convert"))
        try:
            process.wait(_POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            waited += _POLL_SECONDS
        if waited > _TIMEOUT_SECONDS:
            raise refusal("conversion_failed", f"converting {name} took more than {_TIMEOUT_SECONDS:g} seconds")
