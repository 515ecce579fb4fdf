"""An adapter's files by address: from a hub for everyone; from buckets and this machine's disk for administrators.

What a tenant names is read without the platform's own token: what only the platform may see stays unseen.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serve.catalog.adapters.modules import CONFIG_FILE, WEIGHTS_FILE
from serve.catalog.download import download
from serve.catalog.sources.builtin import reference_models
from serve.catalog.sources.file import FileSource
from serve.catalog.sources.hf import HubSource
from serve.catalog.sources.s3 import BucketSource
from serve.catalog.sources.source import DownloadProgress, RemoteFile, Source
from serve.domain.errors import InvalidRequest, PayloadTooLarge, PermissionDenied
from serve.domain.names import dns_label
from serve.settings import ObjectsSettings, Settings

_HUB = re.compile(
    r"hf://(?P<id>[\w.-]{1,96}/[\w.-]{1,96})(@(?P<revision>[\w.-]{1,200}))?(/(?P<file>[^@#?]{1,512}))?", re.ASCII
)
_SAFETENSORS = ".safetensors"
FOR_ADMINISTRATORS = ("s3", "file", "builtin")


@dataclass(frozen=True, slots=True)
class AdapterSources:
    """Where adapters are read from. `hub_token` is the platform's, and used for administrators only."""

    objects: ObjectsSettings
    hub_endpoint: str = ""
    hub_token: str = ""
    builtin_root: Path | None = None
    """The folder of the adapters that ship with the project, if it is another one."""

    def fetch(self, uri: str, workdir: Path, max_bytes: int, *, is_admin: bool, param: str) -> dict[str, Path]:
        """The files at `uri`, copied into `workdir`, by name. Blocks.

        Raises:
            PermissionDenied: `address_not_allowed`. PayloadTooLarge: `adapter_too_large`.
            InvalidRequest: about `param`, with a code of the source. ModelUnavailable: it does not answer.
        """
        scheme = uri.partition("://")[0]
        if scheme in FOR_ADMINISTRATORS and not is_admin:
            raise PermissionDenied(
                f"{scheme}:// addresses are for administrators. Upload the file, or give an https:// or hf:// address.",
                "address_not_allowed",
                param,
            )
        try:
            source, wanted = self._source(scheme, uri, is_admin)
            files = _chosen(source.listing(workdir, _ignore).files, wanted, uri)
            _check_size(files, max_bytes)
            return {file.path: _copied(source, file, workdir / str(index)) for index, file in enumerate(files)}
        except PayloadTooLarge:
            raise
        except InvalidRequest as error:
            raise InvalidRequest(error.message, error.code, param) from None

    def _source(self, scheme: str, uri: str, is_admin: bool) -> tuple[Source, str | None]:
        match scheme:
            case "hf":
                found = _HUB.fullmatch(uri)
                if found is None or ".." in uri:
                    raise InvalidRequest(
                        f"a hub address reads hf://organisation/name[@revision][/file]: {uri[:200]}", "invalid_address"
                    )
                revision = f"@{found['revision']}" if found["revision"] else ""
                token = self.hub_token if is_admin else ""
                return HubSource(f"hf://{found['id']}{revision}", self.hub_endpoint, token), found["file"]
            case "s3":
                return BucketSource(uri, self.objects), None
            case "file":
                return FileSource.from_uri(uri), None
            case "builtin":
                return FileSource.at(self.builtin_folder(uri), uri), None
        raise InvalidRequest(
            f"an adapter comes from https://, hf://, asset:, s3://, file:// or builtin://, not from {uri[:60]!r}",
            "invalid_address",
        )

    def builtin_folder(self, uri: str) -> Path:
        """The folder of `builtin://base/name`. Raises InvalidRequest: `invalid_address`."""
        parts = uri.removeprefix("builtin://").strip("/").split("/")
        try:
            base, name = (dns_label(part) for part in parts)
        except ValueError:
            raise InvalidRequest(
                f"a built-in adapter reads builtin://base/name: {uri[:200]}", "invalid_address"
            ) from None
        return (self.builtin_root or reference_models() / "adapters") / base / name


def open_adapter_sources(settings: Settings) -> AdapterSources:
    """As `settings` have them. HF_ENDPOINT is read here."""
    token = settings.models.hf_token.get_secret_value()
    return AdapterSources(settings.objects, os.environ.get("HF_ENDPOINT", ""), token)


def _ignore(progress: DownloadProgress) -> None:
    """Nobody watches: an adapter is small."""


def _chosen(files: Sequence[RemoteFile], wanted: str | None, uri: str) -> list[RemoteFile]:
    """The named file; or a PEFT directory's two; or the only safetensors file there is."""
    by_path: Mapping[str, RemoteFile] = {file.path: file for file in files}
    if wanted is not None:
        if wanted not in by_path:
            raise _no_file(f"{uri[:200]} has no such file", files)
        config = f"{wanted.rpartition('/')[0]}/{CONFIG_FILE}".lstrip("/")
        is_peft = wanted.rpartition("/")[2] == WEIGHTS_FILE and config in by_path
        return [by_path[wanted], *([by_path[config]] if is_peft else [])]
    if WEIGHTS_FILE in by_path:
        return [by_path[name] for name in (WEIGHTS_FILE, CONFIG_FILE) if name in by_path]
    weights = [file for file in files if file.path.endswith(_SAFETENSORS) and "/" not in file.path]
    if len(weights) != 1:
        why = "holds several weights; name one" if weights else "holds no .safetensors file"
        raise _no_file(f"{uri[:200]} {why}", weights or files)
    return weights


def _no_file(why: str, files: Sequence[RemoteFile]) -> InvalidRequest:
    there = ", ".join(sorted(file.path for file in files)[:8]) or "nothing"
    return InvalidRequest(f"{why}. There is: {there[:400]}", "adapter_no_weights")


def _check_size(files: Sequence[RemoteFile], max_bytes: int) -> None:
    num_bytes = sum(file.num_bytes for file in files)
    if num_bytes > max_bytes:
        raise PayloadTooLarge(
            f"The files take {num_bytes} bytes; an adapter may take {max_bytes}.", "adapter_too_large"
        )


def _copied(source: Source, file: RemoteFile, path: Path) -> Path:
    download(source, file, path, _ignore)
    return path
