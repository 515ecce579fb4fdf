"""An adapter's files as they were stored: every reader checks the very bytes that it goes on with."""

import hashlib
from collections.abc import Mapping

from deployments.engines.engine import AdapterFolder
from serve.domain.errors import InvalidRequest, Unprocessable


def verified_files(folder: AdapterFolder) -> Mapping[str, bytes]:
    """The files of `folder` by name. Each is read once, and what was read is what is checked: a file that is swapped
    behind the check is never seen. Blocks.

    Raises:
        InvalidRequest: `adapter_changed`: a file is not what was stored under this id.
    """
    return {name: _verified(folder, name, sha256) for name, sha256 in folder.sha256.items()}


def takes_none() -> Unprocessable:
    """The refusal of an engine that has no use for adapters."""
    return Unprocessable(
        "This model takes no adapters. Leave them out, or choose a model whose card has them enabled.",
        "adapters_not_supported",
        "adapters",
    )


def _verified(folder: AdapterFolder, name: str, sha256: str) -> bytes:
    try:
        data = (folder.path / name).read_bytes()
    except OSError as error:
        raise _changed(folder, name, "cannot be read") from error
    if hashlib.sha256(data).hexdigest() != sha256.removeprefix("sha256:"):
        raise _changed(folder, name, "has other bytes than its digest says")
    return data


def _changed(folder: AdapterFolder, name: str, how: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name} of the adapter {folder.id} {how} on this node: it was changed after it was fetched. "
        "Call again; if that does not help, upload the adapter anew.",
        "adapter_changed",
        "adapters",
    )
