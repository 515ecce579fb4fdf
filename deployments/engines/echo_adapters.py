"""Adapters of the echo engine: real files, read and checked, that change what an answer begins with."""

from collections.abc import Sequence

from deployments.engines.adapter_files import verified_files
from deployments.engines.engine import AdapterFolder, AppliedAdapter
from serve.domain.adapters import parse_id
from serve.domain.errors import EngineFailed


class EchoAdapter:
    """A `PreparedAdapter`: the bytes of its files."""

    def __init__(self, adapter_id: str, num_bytes: int) -> None:
        self.id = adapter_id
        self.is_closed = False
        self._num_bytes = num_bytes

    @property
    def num_bytes(self) -> int:
        """See the Protocol."""
        return self._num_bytes

    def close(self) -> None:
        """See the Protocol. A call that uses it afterwards fails."""
        self.is_closed = True


def read_echo_adapter(folder: AdapterFolder) -> EchoAdapter:
    """Blocks. Raises InvalidRequest: `adapter_changed`."""
    return EchoAdapter(folder.id, sum(map(len, verified_files(folder).values())))


def check_open(adapters: Sequence[AppliedAdapter]) -> None:
    """Raises EngineFailed when one was given back while a call uses it, as memory that is freed in use would break
    a real engine."""
    for adapter in adapters:
        if not isinstance(adapter.prepared, EchoAdapter) or adapter.prepared.is_closed:
            raise EngineFailed(f"The adapter {adapter.id} is used after it was closed.", "adapter_closed")


def tag_of(adapters: Sequence[AppliedAdapter]) -> str:
    """What an answer begins with: `[stripes@1f0c9ab2 x 0.5] `; "" without adapters."""
    if not adapters:
        return ""
    versions = [(parse_id(adapter.id), adapter.scale) for adapter in adapters]
    shown = [f"{v.name}@{v.digest.removeprefix('sha256:')[:8]} x {scale:g}" for v, scale in versions]
    return f"[{', '.join(shown)}] "
