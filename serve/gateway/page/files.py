"""The built page, held in memory: a few megabytes, read once, and again after a build.

A path is looked up in the table of the files that were there; nothing that a client sends is ever made into a file's
name. So there is nothing to climb out of.
"""

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serve.gateway.page.encodings import IDENTITY, SUFFIXES

DIST = Path(__file__).parents[2] / "web/dist"
"""Where `make ui` puts the page, and where the package has it."""
INDEX = "/index.html"
ASSETS = "/assets/"
"""What is in here has a hash of its content in its name, and never changes."""
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
}
_DIGEST_CHARS = 32


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file in every encoding that there is of it, `identity` among them."""

    path: str
    media_type: str
    digest: str
    bodies: Mapping[str, bytes]

    def etag(self, encoding: str) -> str:
        """Another one for each encoding: the bytes are others."""
        return f'"{self.digest}"' if encoding == IDENTITY else f'"{self.digest}-{encoding}"'


class PageFiles:
    """The files under `folder`, by the path that they are asked for with."""

    def __init__(self, folder: Path = DIST) -> None:
        self._folder = folder
        self._stamp: tuple[int, ...] | None = None
        self._files: Mapping[str, PageFile] = {}

    def find(self, path: str) -> PageFile | None:
        """The file at `path`, which begins with a slash; None where there is none."""
        self._look_again()
        return self._files.get(path)

    def _look_again(self) -> None:
        """Two calls of stat while nothing changed. Between two builds the page that was there stays."""
        stamp = self._present()
        if stamp is not None and stamp != self._stamp:
            # A build takes away what is being read: a later call finds it done.
            with contextlib.suppress(FileNotFoundError):
                self._files, self._stamp = read_files(self._folder), stamp

    def _present(self) -> tuple[int, ...] | None:
        try:
            index = os.stat(self._folder / INDEX[1:])
            # Compressed siblings come last, and change the folder that they are put into.
            assets = os.stat(self._folder / ASSETS.strip("/"))
        except OSError:
            return None
        return index.st_mtime_ns, index.st_ino, assets.st_mtime_ns


def read_files(folder: Path) -> dict[str, PageFile]:
    """Every file under `folder` but links, without those that are another's compressed form."""
    found = {path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
    siblings = {_sibling(path, suffix) for path in found for suffix in SUFFIXES.values()}
    files = (_read(path, folder) for path in sorted(found - siblings))
    return {file.path: file for file in files}


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _read(path: Path, folder: Path) -> PageFile:
    bodies = {IDENTITY: path.read_bytes()}
    for encoding, suffix in SUFFIXES.items():
        compressed = _sibling(path, suffix)
        if compressed.is_file():
            bodies[encoding] = compressed.read_bytes()
    digest = hashlib.sha256(bodies[IDENTITY]).hexdigest()[:_DIGEST_CHARS]
    media_type = _MEDIA_TYPES.get(path.suffix.lower(), "application/octet-stream")
    return PageFile(f"/{path.relative_to(folder).as_posix()}", media_type, digest, bodies)
