"""From what was uploaded to an adapter's small folder: its weights and, for PEFT, its configuration; nothing else.

An upload is one .safetensors file, or several files by name, or a zip of a directory. What is not needed is never
written; a pickle is told by its first bytes, and no file is opened by anything that could run it.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from zipfile import ZipFile

from serve.catalog.adapters import archives
from serve.catalog.adapters.modules import CONFIG_FILE, WEIGHTS_FILE, AdapterContents, refused
from serve.catalog.adapters.peft_config import MAX_CONFIG_BYTES
from serve.catalog.adapters.reading import read_adapter
from serve.catalog.adapters.stored import StoredFile
from serve.catalog.adapters.values import check_finite
from serve.catalog.weights import tree_digest
from serve.domain.adapters import AdapterArchitecture
from serve.domain.errors import InvalidRequest, PayloadTooLarge, StorageUnavailable

_CHUNK_BYTES = 2**20
_FIRST_BYTES = 16
_PICKLE_ENDINGS = (".bin", ".ckpt", ".pkl", ".pickle", ".pt", ".pth")
_LAST_PROTOCOL = 5
_ZIP = b"PK\x03\x04"
_OTHER_ARCHIVES = {b"\x1f\x8b": "gzip", b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@dataclass(frozen=True, slots=True)
class PackedAdapter:
    """An adapter in a folder of its own: checked, named canonically, hashed as it was written."""

    folder: Path
    files: tuple[StoredFile, ...]
    contents: AdapterContents

    @property
    def digest(self) -> str:
        """`sha256:...` of the version."""
        return tree_digest({file.name: file.sha256 for file in self.files})

    @property
    def num_bytes(self) -> int:
        """Of all files."""
        return sum(file.num_bytes for file in self.files)


async def receive(chunks: AsyncIterable[bytes], path: Path, max_bytes: int, num_before: int = 0) -> int:
    """Write an upload to `path` as it comes; how many bytes it has. `num_before` came with its other files.

    Raises:
        PayloadTooLarge: `adapter_too_large`, at the first chunk beyond `max_bytes`; a part of it is at `path` then.
        StorageUnavailable: this machine's disk is full.
    """
    num_bytes = 0
    with path.open("wb") as stream:
        async for chunk in chunks:
            num_bytes += len(chunk)
            if num_before + num_bytes > max_bytes:
                raise _too_large(max_bytes)
            with _room():
                await asyncio.to_thread(stream.write, chunk)
    return num_bytes


def pack(
    uploads: Mapping[str, Path], folder: Path, max_bytes: int, base: AdapterArchitecture | None = None
) -> PackedAdapter:
    """Make `folder` (new) from uploaded files, by the names that they were given. Blocks; run it in a thread.

    `base` decides the architecture where nothing in the files does.

    Raises:
        InvalidRequest: adapter_pickle, adapter_no_weights, adapter_ambiguous, adapter_archive_*, adapter_not_finite, or
            a code of `read_adapter`. PayloadTooLarge: adapter_too_large. `folder` may be there with a part of them.
    """
    folder.mkdir(parents=True)
    with _sources(uploads) as sources:
        files = tuple(sources.write(folder, max_bytes))
    contents = read_adapter(folder, base)
    check_finite(folder / WEIGHTS_FILE)
    return PackedAdapter(folder, files, contents)


class _Sources:
    """Files by name, on disk or in an archive."""

    def __init__(self, uploads: Mapping[str, Path], archive: ZipFile | None) -> None:
        self._uploads = uploads
        self._archive = archive
        self._names = list(uploads) if archive is None else [n for n in archive.namelist() if not n.endswith("/")]

    def write(self, folder: Path, max_bytes: int) -> Iterator[StoredFile]:
        """Copy the weights and their configuration under their canonical names."""
        weights = self._weights()
        config = str(PurePosixPath(weights).with_name(CONFIG_FILE))
        if config in self._names:
            yield self._copy(config, folder / CONFIG_FILE, min(max_bytes, MAX_CONFIG_BYTES))
        yield self._copy(weights, folder / WEIGHTS_FILE, max_bytes)

    def _weights(self) -> str:
        """The one .safetensors file that lies highest; a training's checkpoints lie below."""
        found = [name for name in self._names if name.lower().endswith(".safetensors")]
        if not found:
            if pickles := [name for name in self._names if name.lower().endswith(_PICKLE_ENDINGS)]:
                raise _pickled(pickles[0])
            told = ", ".join(repr(name[:60]) for name in self._names[:5]) or "nothing"
            raise refused("adapter_no_weights", f"an adapter is a .safetensors file, and there is {told}")
        depths = {name: name.count("/") for name in found}
        highest = [name for name in found if depths[name] == min(depths.values())]
        named = [name for name in highest if PurePosixPath(name).name == WEIGHTS_FILE]
        if len(named or highest) > 1:
            told = ", ".join(repr(name[:60]) for name in sorted(highest)[:5])
            raise refused("adapter_ambiguous", f"an adapter is one .safetensors file, and there are {told}")
        return (named or highest)[0]

    def _copy(self, name: str, target: Path, max_bytes: int) -> StoredFile:
        digest, num_bytes = hashlib.sha256(), 0
        with self._open(name) as source, target.open("xb") as sink:
            first = source.read(_FIRST_BYTES)
            _check_first(name, first)
            chunk = first + source.read(_CHUNK_BYTES)
            while chunk:
                num_bytes += len(chunk)
                if num_bytes > max_bytes:
                    raise _too_large(max_bytes)
                digest.update(chunk)
                with _room():
                    sink.write(chunk)
                chunk = source.read(_CHUNK_BYTES)
        return StoredFile(target.name, digest.hexdigest(), num_bytes)

    def _open(self, name: str) -> BinaryIO:
        return self._uploads[name].open("rb") if self._archive is None else archives.entry(self._archive, name)


@contextmanager
def _sources(uploads: Mapping[str, Path]) -> Iterator[_Sources]:
    """A single zip file is what is in it. Every other upload is looked at first: what was sent for a purpose, and
    would run when it is opened, is refused and not passed over."""
    firsts = {name: _first(path) for name, path in uploads.items()}
    with ExitStack() as stack:
        archive = None
        if len(uploads) == 1 and next(iter(firsts.values())).startswith(_ZIP):
            archive = stack.enter_context(archives.opened(next(iter(uploads.values()))))
            if any(PurePosixPath(name).name == "data.pkl" for name in archive.namelist()):
                raise _pickled(next(iter(uploads)))
        else:
            for name, first in firsts.items():
                _check_first(name, first)
        yield _Sources(uploads, archive)


def _first(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_FIRST_BYTES)


def _check_first(name: str, first: bytes) -> None:
    if name.lower().endswith(_PICKLE_ENDINGS):
        raise _pickled(name)
    if _begins_as_safetensors(first):
        return
    if len(first) > 1 and first[0] == 0x80 and first[1] <= _LAST_PROTOCOL:
        raise _pickled(name)
    if first.startswith(_ZIP):
        raise refused("adapter_archive_invalid", f"{name[:120]!r} is a zip file beside other files; send it alone")
    for magic, kind in _OTHER_ARCHIVES.items():
        if first.startswith(magic):
            raise refused("adapter_archive_invalid", f"{name[:120]!r} is packed by {kind}; zip is read")


def _begins_as_safetensors(first: bytes) -> bool:
    """A length below 4 GiB and a brace. Its first bytes can be anything: a header of 640 bytes begins as pickles do."""
    return first[4:9] == b"\0\0\0\0{"


def _pickled(name: str) -> InvalidRequest:
    return refused(
        "adapter_pickle",
        f"{name[:120]!r} is a pickle, which is a program that runs when it is opened; none is. Convert it to "
        ".safetensors where you trust it",
    )


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(f"the folder for uploads takes no more: {error.strerror}") from error


def _too_large(max_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"an adapter may have {max_bytes} bytes, and this one has more", "adapter_too_large")
