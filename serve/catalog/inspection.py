"""What is inside the files of a model, looked at before any library opens them."""

import json
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from serve.catalog.safetensors import check_safetensors
from serve.catalog.sources.source import refusal

MAX_CONFIG_BYTES = 64 * 2**20
_MAX_GGUF_ENTRIES = 1_000_000
_CODE_KEYS = frozenset({"auto_map", "custom_pipeline", "custom_pipelines", "custom_generate"})
_INDEX = re.compile(r"\.safetensors\.index(\.\w+)?\.json$")
_PIPELINE_LIBRARIES = frozenset({None, "diffusers", "transformers", "stable_diffusion"})


def inspect(folder: Path, names: Iterable[str]) -> None:
    """Check every file of `names` in `folder`.

    Raises:
        InvalidRequest: remote_code_refused, invalid_config, missing_shard, invalid_gguf, or a code of
            `check_safetensors`.
    """
    present = set(names)
    for name in sorted(present):
        path = folder / name
        if name.endswith(".safetensors"):
            check_safetensors(path, name)
        elif name.endswith(".gguf"):
            _check_gguf(path, name)
        elif name.endswith(".json") and (check := _CHECKS.get(_kind(name))):
            check(_read(path, name), name, present)


def _kind(name: str) -> str:
    base = name.rsplit("/", 1)[-1]
    if base in ("model_index.json", "modules.json"):
        return base
    return "index" if _INDEX.search(base) else "config" if "config" in base else ""


def _read(path: Path, name: str) -> Any:
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise refusal("invalid_config", f"{name} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise refusal("invalid_config", f"{name} is not JSON") from None


def _check_config(body: Any, name: str, present: set[str]) -> None:
    for key, value in _items(body):
        if key in _CODE_KEYS and value:
            raise refusal(
                "remote_code_refused", f"{name} has {key}, which loads Python that comes with the model; none is run"
            )
        if key == "trust_remote_code" and value is True:
            raise refusal("remote_code_refused", f"{name} asks for trust_remote_code; no model's code is run")


def _items(body: Any) -> Iterator[tuple[str, Any]]:
    """Every key at every depth, without recursion."""
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_pipeline(body: Any, name: str, present: set[str]) -> None:
    """diffusers imports `[library, class]` of each component by name."""
    _check_config(body, name, present)
    if not isinstance(body, dict) or not isinstance(body.get("_class_name"), str):
        raise refusal("remote_code_refused", f"{name} names a pipeline that is not one of diffusers'")
    for part, value in body.items():
        names_class = isinstance(value, list) and len(value) == 2 and not part.startswith("_")
        if names_class and (isinstance(value[0], list | dict) or value[0] not in _PIPELINE_LIBRARIES):
            raise refusal("remote_code_refused", f"{name} takes {part} from {value[0]!r}, which is not loaded from")


def _check_modules(body: Any, name: str, present: set[str]) -> None:
    """sentence-transformers imports each module's `type` by its dotted name."""
    modules = body if isinstance(body, list) else [None]
    for module in modules:
        kind = module.get("type") if isinstance(module, dict) else None
        if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
            raise refusal("remote_code_refused", f"{name} takes a module from {kind!r}, which is not loaded from")


def _check_index(body: Any, name: str, present: set[str]) -> None:
    shards = body.get("weight_map") if isinstance(body, dict) else None
    if not isinstance(shards, dict):
        raise refusal("invalid_config", f"{name} has no weight_map")
    folder = name.rpartition("/")[0]
    for shard in {str(s) for s in shards.values()}:
        if (f"{folder}/{shard}" if folder else shard) not in present:
            raise refusal("missing_shard", f"{name} names {shard[:200]!r}, which is not there")


_CHECKS: dict[str, Callable[[Any, str, set[str]], None]] = {
    "config": _check_config,
    "model_index.json": _check_pipeline,
    "modules.json": _check_modules,
    "index": _check_index,
}


def _check_gguf(path: Path, name: str) -> None:
    """The first 24 bytes: magic, version, number of tensors, number of entries."""
    with path.open("rb") as stream:
        prefix = stream.read(24)
    if len(prefix) < 24 or prefix[:4] != b"GGUF":
        raise refusal("invalid_gguf", f"{name} does not begin as a GGUF file does")
    version, num_tensors, num_entries = struct.unpack("<IQQ", prefix[4:])
    if version not in (2, 3) or max(num_tensors, num_entries) > _MAX_GGUF_ENTRIES:
        raise refusal(
            "invalid_gguf", f"{name} is a GGUF file of version {version} with absurd counts, or of an unknown one"
        )
