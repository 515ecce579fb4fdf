"""Adapters on their way in: from a form or an address into a folder of ours, checked there, and stored from there.

Everything after the transfer is about the files in that folder, which nobody else writes to: what was hashed is what
is read, and what is stored. The folder goes whatever happens.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from serve.auth.access import Caller
from serve.catalog.adapters.bases import architecture_of, check_takes_adapters, wrong_architecture, wrong_base
from serve.catalog.adapters.known_layouts import base_key
from serve.catalog.adapters.packing import PackedAdapter, pack, receive
from serve.catalog.adapters.registry import NewVersion
from serve.catalog.cards import Card
from serve.domain.adapters import AdapterArchitecture
from serve.domain.errors import InvalidRequest, NotFound, Unprocessable
from serve.domain.names import AssetId, TenantName
from serve.gateway.services import Services

_ASSET = "asset:"
_PARTS = "received"
_THREADS = ThreadPoolExecutor(8, "adapter-uploads")
"""Their own: gigabytes that are fetched or hashed must not keep everybody's requests from the loop's few threads."""
_LEFT_OVER_SECONDS = 24 * 3600
"""No upload takes a day: an older folder was left by a process that died."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the caller says of the files. `file_param` and the others are the fields that said it."""

    name: str
    base: str | None
    digest: str | None
    file_param: str
    base_param: str = "base"
    digest_param: str = "digest"


@asynccontextmanager
async def workspace(services: Services) -> AsyncIterator[Path]:
    """A folder for one adapter, until the block ends."""
    root = services.settings.storage.cache_dir / "adapter-uploads"
    folder = await asyncio.to_thread(_made, root)
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


def _made(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for old in root.iterdir():
        with suppress(FileNotFoundError):  # an upload that ends takes its folder away meanwhile
            if time.time() - old.stat().st_mtime > _LEFT_OVER_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=root))
    (folder / _PARTS).mkdir()
    return folder


async def receive_parts(
    services: Services, folder: Path, parts: Mapping[str, AsyncGenerator[bytes, None]]
) -> dict[str, Path]:
    """Files of a form, by name. Raises PayloadTooLarge, StorageUnavailable."""
    num_bytes, found = 0, {}
    for index, (name, chunks) in enumerate(parts.items()):
        path = folder / _PARTS / str(index)
        num_bytes += await receive(chunks, path, services.settings.adapters.max_bytes, num_bytes)
        found[name] = path
    return found


async def fetch_parts(services: Services, folder: Path, caller: Caller, uri: str, param: str) -> dict[str, Path]:
    """The files at an address, by name.

    Raises:
        InvalidRequest: about `param`. NotFound: no such asset of this tenant. PermissionDenied: `address_not_allowed`.
        PayloadTooLarge, ModelUnavailable, StorageUnavailable.
    """
    limit, into = services.settings.adapters.max_bytes, folder / _PARTS
    if uri.startswith("https://"):
        return {_file_name(uri): await _downloaded(services, uri, into / "0", param)}
    if uri.startswith(_ASSET):
        asset = await services.assets.get(caller.tenant, AssetId(uri.removeprefix(_ASSET)))
        await receive(services.assets.content(asset), into / "0", limit)
        return {asset.name or "file": into / "0"}
    seconds = services.settings.adapters.fetch_seconds
    fetch = partial(services.adapter_sources.fetch, uri, into, limit, is_admin=caller.is_admin, param=param)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.get_running_loop().run_in_executor(_THREADS, fetch)
    except TimeoutError:
        raise InvalidRequest(f"{param} did not come whole within {seconds:g} seconds.", "fetch_failed", param) from None


async def _downloaded(services: Services, uri: str, path: Path, param: str) -> Path:
    settings = services.settings.adapters
    with path.open("wb") as stream:
        await services.adapter_downloads.download(
            uri, to=stream, max_bytes=settings.max_bytes, timeout=settings.fetch_seconds, param=param
        )
    return path


def _file_name(uri: str) -> str:
    return uri.partition("?")[0].partition("#")[0].rsplit("/", 1)[-1] or "file"


async def _base(services: Services, name: str, param: str) -> Card:
    try:
        return await services.catalog.card(name)
    except NotFound as error:
        raise NotFound(error.message, error.code, param) from None


async def checked(
    services: Services, folder: Path, parts: Mapping[str, Path], tenant: TenantName, wanted: Wanted
) -> NewVersion:
    """The version that `parts` are: read, and compared with the base that is named, else with those that are served.

    Raises:
        InvalidRequest, PayloadTooLarge: what `pack` says of the files; `digest_mismatch`.
        NotFound: no such base. Unprocessable: `wrong_base`, `adapters_not_enabled`.
    """
    cards = await services.catalog.cards()
    base = None if wanted.base is None else await _base(services, wanted.base, wanted.base_param)
    if base is not None:
        check_takes_adapters(base, wanted.base_param)
    bases = [base] if base else [card for card in cards.values() if card.document.spec.adapters.enabled]
    limit = services.settings.adapters.max_bytes
    packing = partial(pack, parts, folder / "packed", limit, architecture_of(base) if base else None)
    with _about(wanted.file_param):
        packed = await asyncio.get_running_loop().run_in_executor(_THREADS, packing)
    if wanted.digest not in (None, packed.digest):
        raise InvalidRequest(
            f"the files have the digest {packed.digest}, and {wanted.digest} was asked for",
            "digest_mismatch",
            wanted.digest_param,
        )
    misfits = await _misfits(services, packed, bases)
    _check_base(wanted, packed.contents.facts.architecture, bases, misfits)
    keys = {base_key(card) for card in bases if card.name in misfits}
    return NewVersion(
        tenant=tenant,
        name=wanted.name,
        digest=packed.digest,
        folder=packed.folder,
        files=packed.files,
        contents=packed.contents,
        base=wanted.base,
        misfits=tuple(sorted(keys)),
    )


@contextmanager
def _about(param: str) -> Iterator[None]:
    """What is wrong with the files is said of the field that brought them."""
    try:
        yield
    except InvalidRequest as error:
        raise type(error)(error.message, error.code, param) from None


async def _misfits(services: Services, packed: PackedAdapter, bases: list[Card]) -> dict[str, str]:
    """Why it does not fit, by model."""
    found = {}
    for card in bases:
        why = wrong_architecture(packed.contents.facts.architecture, card)
        why = why or await services.bases.misfit_of_modules(packed.contents.modules, card)
        if why is not None:
            found[card.name] = why
    return found


def _check_base(
    wanted: Wanted, architecture: AdapterArchitecture, bases: list[Card], misfits: Mapping[str, str]
) -> None:
    if any(card.name not in misfits for card in bases):
        return
    if wanted.base is not None:
        raise wrong_base(f"The adapter {wanted.name!r}", bases[0], misfits[bases[0].name], wanted.base_param)
    alike = [card for card in bases if architecture_of(card) is architecture]
    told = "; ".join(f"{card.name}: {misfits[card.name]}" for card in alike[:4])
    raise Unprocessable(
        f"The adapter {wanted.name!r} was made for {architecture.value} and fits no model that is served here"
        + (f" ({told})." if told else f": none of them is {architecture.value} and takes adapters."),
        "wrong_base",
        wanted.base_param,
    )
