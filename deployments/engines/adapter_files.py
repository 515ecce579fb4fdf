"""An adapter's files as they were stored: every reader checks the very bytes that it goes on with."""

import hashlib
import io
import os
from collections.abc import Mapping

from deployments.engines.engine import AdapterFolder
from serve.catalog.adapters.modules import CONFIG_FILE, WEIGHTS_FILE, AdapterContents
from serve.catalog.adapters.peft_config import config_of
from serve.catalog.adapters.reading import contents_of
from serve.catalog.safetensors import Header, header_of
from serve.domain.errors import InvalidRequest, Unprocessable

_LENGTH_BYTES = 8
"""Of the number that a safetensors file begins with."""


def verified_files(folder: AdapterFolder) -> dict[str, bytearray]:
    """The files of `folder` by name. Each is read once, and what was read is what is checked: a file that is swapped
    behind the check is never seen. The bytes are the caller's to write to. Blocks.

    Raises:
        InvalidRequest: `adapter_changed`: a file is not what was stored under this id.
    """
    return {name: _verified(folder, name, sha256) for name, sha256 in folder.sha256.items()}


def contents_in(files: Mapping[str, bytearray]) -> tuple[Header, AdapterContents]:
    """What verified files hold, by their headers: `read_adapter` of bytes in memory.

    Raises:
        InvalidRequest: `adapter_incomplete`, or what `read_adapter` raises.
    """
    if WEIGHTS_FILE not in files:
        raise InvalidRequest(f"The adapter has no file {WEIGHTS_FILE}.", "adapter_incomplete", "adapters")
    weights = memoryview(files[WEIGHTS_FILE])
    length = int.from_bytes(weights[:_LENGTH_BYTES], "little")
    header = header_of(io.BytesIO(weights[: _LENGTH_BYTES + length]), len(weights), WEIGHTS_FILE)
    config = config_of(bytes(files[CONFIG_FILE])) if CONFIG_FILE in files else None
    return header, contents_of(header, config)


def takes_none() -> Unprocessable:
    """The refusal of an engine that has no use for adapters."""
    return Unprocessable(
        "This model takes no adapters. Leave them out, or choose a model whose card has them enabled.",
        "adapters_not_supported",
        "adapters",
    )


def _verified(folder: AdapterFolder, name: str, sha256: str) -> bytearray:
    try:
        data = _read(folder, name)
    except OSError as error:
        raise _changed(folder, name, "cannot be read") from error
    if hashlib.sha256(data).hexdigest() != sha256.removeprefix("sha256:"):
        raise _changed(folder, name, "has other bytes than its digest says")
    return data


def _read(folder: AdapterFolder, name: str) -> bytearray:
    """As many bytes as it had when it was opened; those of a link are not those that were stored."""
    descriptor = os.open(folder.path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as stream:
        data = bytearray(os.fstat(descriptor).st_size)
        rest = memoryview(data)
        while rest and (count := stream.readinto(rest)):
            rest = rest[count:]
    return data


def _changed(folder: AdapterFolder, name: str, how: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} of the adapter {folder.id} {how} on this node: it was changed after it was fetched. "
        "Call again; if that does not help, upload the adapter anew.",
        "adapter_changed",
        "adapters",
    )
