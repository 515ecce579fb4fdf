"""Zip files from strangers: looked through before anything is taken out, and counted while it is.

A name that leads out of the archive, a link, a name twice or an entry that unpacks to a hundred times its size is
never needed for an adapter; an archive with one of them is refused whole.
"""

import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from serve.catalog.adapters.modules import refused
from serve.domain.errors import InvalidRequest

MAX_ENTRIES = 1000
MAX_RATIO = 100
_FREE_BYTES = 2**20
"""Text may pack well: what unpacks to less than this is no bomb."""
_MAX_DIRECTORY_BYTES = MAX_ENTRIES * 512
_MAX_NAME_LENGTH = 255
_MAX_COMMENT_BYTES = 2**16
_END, _END_BYTES = b"PK\x05\x06", 22
_END_64, _END_64_BYTES = b"PK\x06\x07", 20
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_ODD = re.compile(r"[\x00-\x1f\x7f\\:]")


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at `path`, every name of it checked.

    Raises:
        InvalidRequest: adapter_archive_entries, adapter_archive_path, adapter_archive_link, adapter_archive_duplicate,
            adapter_archive_ratio, adapter_archive_invalid; also inside the block, where what is read is broken.
    """
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_entries(archive.infolist(), path.stat().st_size)
            yield archive
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise _invalid(f"it cannot be read: {str(error)[:120]}") from None


def entry(archive: zipfile.ZipFile, name: str) -> BinaryIO:
    """The bytes of a checked entry, as a stream; no more of them than the entry says."""
    return archive.open(name)  # type: ignore[return-value]  # typeshed names the abstract class


def _check_directory(path: Path) -> None:
    """zipfile reads the whole list of entries into memory, so the end record is looked at before it."""
    with path.open("rb") as stream:
        stream.seek(0, 2)
        num_bytes = stream.tell()
        stream.seek(max(0, num_bytes - _MAX_COMMENT_BYTES - _END_BYTES - _END_64_BYTES))
        tail = stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < _END_BYTES:
        raise _invalid("it has no end record: the upload was cut short, or it is no zip file")
    num_entries = int.from_bytes(tail[at + 10 : at + 12], "little")
    num_directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    is_64 = _END_64 in tail[:at][-_END_64_BYTES:]
    if num_entries > MAX_ENTRIES or num_directory_bytes > _MAX_DIRECTORY_BYTES or is_64:
        raise refused("adapter_archive_entries", f"the archive lists more than {MAX_ENTRIES} entries, or is of zip64")


def _check_entries(entries: list[zipfile.ZipInfo], num_bytes: int) -> None:
    if len(entries) > MAX_ENTRIES:
        raise refused("adapter_archive_entries", f"the archive has {len(entries)} entries; {MAX_ENTRIES} are read")
    seen: set[str] = set()
    for each in entries:
        _check_name(each)
        _check_kind(each, num_bytes)
        folded = each.filename.rstrip("/").casefold()
        if folded in seen:
            raise refused("adapter_archive_duplicate", f"the archive has {each.filename[:120]!r} twice")
        seen.add(folded)


def _check_name(each: zipfile.ZipInfo) -> None:
    """`orig_filename` is what the archive says: zipfile cuts names at a zero byte and turns backslashes round."""
    name = each.orig_filename
    parts = name.removesuffix("/").split("/")
    if len(name) > _MAX_NAME_LENGTH or _ODD.search(name) or not all(parts) or {".", ".."} & set(parts):
        raise refused("adapter_archive_path", f"the archive has an entry {name[:120]!r}, which leads out of it")


def _check_kind(each: zipfile.ZipInfo, num_bytes: int) -> None:
    kind = stat.S_IFMT(each.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refused("adapter_archive_link", f"the archive has {each.filename[:120]!r}, which is a link or a device")
    is_inside = 0 <= each.header_offset < num_bytes
    if not is_inside or each.compress_type not in _PACKINGS or each.flag_bits & _ENCRYPTED:
        raise _invalid(f"{each.filename[:120]!r} is encrypted, lies outside, or is packed otherwise than by deflate")
    if each.file_size > max(_FREE_BYTES, MAX_RATIO * each.compress_size):
        raise refused(
            "adapter_archive_ratio",
            f"{each.filename[:120]!r} would unpack from {each.compress_size} bytes to {each.file_size}",
        )


def _invalid(why: str) -> InvalidRequest:
    return refused("adapter_archive_invalid", f"the archive is not taken: {why}")
