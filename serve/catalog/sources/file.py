"""file:// - a folder, or one GGUF file, on this machine; used in place, never copied."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from serve.catalog.sources.source import CHUNK_BYTES, Listing, RemoteFile, Report, refusal


class FileSource:
    """A folder. Its revision covers paths, sizes and times: a file that changes is looked at again."""

    brings_code_beside = False
    pinned_revision: str | None = None

    def __init__(self, root: Path, only: str | None = None) -> None:
        """`only` names the one file of `root` that is meant."""
        self._root = root
        self._only = only

    @classmethod
    def from_uri(cls, uri: str) -> "FileSource":
        """Raises InvalidRequest: `weights_not_found`, `invalid_weights_uri`."""
        parts = urlsplit(uri)
        path = Path(unquote(parts.path))
        if parts.netloc not in ("", "localhost") or not path.is_absolute():
            raise refusal("invalid_weights_uri", f"a file address is file:/// and an absolute path: {uri}")
        return cls.at(path, uri)

    @classmethod
    def at(cls, path: Path, uri: str) -> "FileSource":
        """The source at `path`, which is a folder or a file."""
        try:
            found = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise refusal("weights_not_found", f"{uri}: there is nothing at {path} on this machine") from None
        return cls(found) if found.is_dir() else cls(found.parent, found.name)

    def listing(self, workdir: Path, report: Report) -> Listing:
        """Raises InvalidRequest: `unsafe_link`, `unsafe_file`."""
        identity = hashlib.sha256(str(self._root).encode())
        files = []
        for path in sorted(self._paths()):
            status = self._checked(path)
            name = path.relative_to(self._root).as_posix()
            identity.update(
                f"{name}\0{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}\n".encode(
                    errors="surrogateescape"
                )
            )
            files.append(RemoteFile(name, status.st_size))
        return Listing(identity.hexdigest(), tuple(files), root=self._root)

    def _paths(self) -> Iterator[Path]:
        if self._only is not None:
            yield self._root / self._only
            return
        for folder, folders, names in os.walk(self._root, followlinks=False):
            for name in folders:
                if (link := Path(folder) / name).is_symlink():
                    raise refusal("unsafe_link", f"{link} is a link to a folder; put the folder itself there")
            yield from (Path(folder) / name for name in names)

    def _checked(self, path: Path) -> os.stat_result:
        target = Path(os.path.realpath(path))
        if not target.is_relative_to(self._root):
            raise refusal("unsafe_link", f"{path} is a link that leaves {self._root}; copy the file instead")
        try:
            status = target.stat()
        except OSError:
            raise refusal("unsafe_link", f"{path} is a link to nothing") from None
        if not stat.S_ISREG(status.st_mode):
            raise refusal("unsafe_file", f"{path} is no regular file")
        return status

    @contextmanager
    def open(self, file: RemoteFile, offset: int) -> Iterator[Iterator[bytes]]:
        """The bytes of a file, in chunks."""
        with (self._root / file.path).open("rb") as stream:
            stream.seek(offset)
            yield iter(lambda: stream.read(CHUNK_BYTES), b"")
