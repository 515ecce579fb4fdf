"""What every source offers, and how a source says no."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serve.domain.errors import InvalidRequest, ModelUnavailable

CHUNK_BYTES = 1 << 20
WEIGHTS_FIELD = "spec.weights.uri"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a source. `sha256` is bare hexadecimal, where the source knows it before the download."""

    path: str
    num_bytes: int
    sha256: str | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a source as they are now. Equal revisions mean equal bytes.

    `root` is set where the files are on this machine already, and are used in place.
    """

    revision: str
    files: tuple[RemoteFile, ...]
    root: Path | None = None


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """How far a file is. `total_bytes` is 0 while nobody knows; `phase` is download, verify or convert."""

    file: str
    done_bytes: int
    total_bytes: int
    phase: str


Report = Callable[[DownloadProgress], None]


class Source(Protocol):
    """An address, ready to be read. `listing` and `open` block."""

    brings_code_beside: bool
    """Whether pickles beside the weights are the rule there (a hub), and are passed over instead of refused."""
    pinned_revision: str | None
    """The revision, where the address alone says it: such an address is read once."""

    def listing(self, workdir: Path, report: Report) -> Listing:
        """What is there. `workdir` is this download's own folder, for sources that must fetch before they can list."""
        ...

    def open(self, file: RemoteFile, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes of `file` from `offset`. Raises Interrupted when they stop early."""
        ...


class Interrupted(Exception):
    """The connection broke; what came so far is good, and the rest may be asked for."""


class StaleRange(Exception):
    """The server would not go on from where the last download ended: begin again."""


def refusal(code: str, why: str) -> InvalidRequest:
    """Weights that are not loaded, and why."""
    return InvalidRequest(why, code, WEIGHTS_FIELD)


def unreachable(why: str) -> ModelUnavailable:
    """Weights that may be loaded later."""
    return ModelUnavailable(why, "weights_unreachable", WEIGHTS_FIELD)
