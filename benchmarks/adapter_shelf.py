"""Where the systems that are compared find adapters: an object store on the file system for ours, plain files for those
who read files. The same bytes.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save

from benchmarks.adapter_files import FILE, Shapes, Stored, random_adapter
from serve.catalog.adapters.files import AdapterFile
from serve.catalog.adapters.stored import blob_key
from serve.catalog.weights import tree_digest
from serve.domain.adapters import AdapterVersion
from serve.domain.names import TenantName
from serve.storage.filesystem import FilesystemObjects

_TENANT: Final = TenantName("benchmark")


class Shelf:
    """Adapters in an object store on the file system, and what a registry would know of them."""

    def __init__(self, folder: Path) -> None:
        self.objects = FilesystemObjects(folder / "objects")
        self.stored: list[Stored] = []
        self._plain = folder / "plain"
        self._files: dict[str, Mapping[str, AdapterFile]] = {}

    async def files(self, version: AdapterVersion) -> Mapping[str, AdapterFile]:
        """See `AdapterVersions`."""
        return self._files[version.id]

    def fill(self, shapes: Shapes, rank: int, num_adapters: int, dtype: torch.dtype = torch.float32) -> None:
        """Make adapters until there are so many."""
        for number in range(len(self.stored), num_adapters):
            asyncio.run(self._add(f"random-{number}", save(random_adapter(shapes, rank, number, dtype))))

    async def _add(self, name: str, data: bytes) -> None:
        file = AdapterFile(hashlib.sha256(data).hexdigest(), len(data))
        version = AdapterVersion(_TENANT, name, tree_digest({FILE: file.sha256}))
        await self.objects.put(blob_key(_TENANT, version.digest, FILE), data, "application/octet-stream")
        path = self._plain / name / FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        self._files[version.id] = {FILE: file}
        self.stored.append(Stored(version.id, path))
