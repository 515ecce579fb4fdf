"""Weights by address: found in the node's cache, or fetched, checked, converted and put there. Once per node.

The decisions are `weight_plan`'s and `inspection`'s; this module carries them out.
"""

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from serve.catalog.conversion import CONVERTER_VERSION, EXPECTED_GROWTH, convert_gguf
from serve.catalog.download import download, file_sha256
from serve.catalog.inspection import inspect
from serve.catalog.sources.builtin import builtin_source, reference_models
from serve.catalog.sources.file import FileSource
from serve.catalog.sources.hf import HubSource
from serve.catalog.sources.s3 import BucketSource
from serve.catalog.sources.source import DownloadProgress, Listing, Report, Source, refusal
from serve.catalog.sources.wheel import WheelSource
from serve.catalog.weight_plan import WeightPlan, plan_weights
from serve.catalog.weight_store import Address, Entry, ResolvedWeights, WeightStore, folder_sizes
from serve.domain.documents import Weights
from serve.domain.errors import InvalidRequest, ModelUnavailable
from serve.settings import Settings

__all__ = ["DownloadProgress", "ResolvedWeights", "WeightCache", "open_weight_cache"]

_NUM_PARALLEL = 4
"""Files of one model that are fetched together; one connection seldom fills a line."""
_SECRETS = ("SLIPWAY_", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "RAY_AUTH_TOKEN", "AWS_")
_log = logging.getLogger(__name__)

OpenSource = Callable[[str], Source]
"""From an address to its source. Raises InvalidRequest for an address that is wrong or switched off."""


def open_weight_cache(settings: Settings) -> "WeightCache":
    """This node's cache, as `settings` have it. HF_ENDPOINT and the hub's token are read here."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(_SECRETS)}
    endpoint = os.environ.get("HF_ENDPOINT", "")
    token = settings.models.hf_token.get_secret_value()
    sources: dict[str, OpenSource] = {
        "file": FileSource.from_uri,
        "builtin": lambda uri: builtin_source(uri, reference_models()),
        "hf": lambda uri: HubSource(uri, endpoint, token or _hub_token()),
        "s3": lambda uri: BucketSource(uri, settings.objects),
        "wheel": lambda uri: WheelSource(uri, settings.models.wheels_allowed, environment),
    }
    store = WeightStore(settings.storage.cache_dir / "weights", settings.storage.cache_max_bytes)
    return WeightCache(store, sources, environment)


def _hub_token() -> str:
    """HF_TOKEN, or what `hf auth login` wrote down."""
    from huggingface_hub import get_token

    return get_token() or ""


class WeightCache:
    """Resolves addresses. Synchronous; safe among threads and processes."""

    def __init__(self, store: WeightStore, sources: Mapping[str, OpenSource], environment: Mapping[str, str]) -> None:
        """`sources` by scheme; `environment` is what subprocesses run with."""
        self._store = store
        self._sources = sources
        self._environment = environment

    def resolve(
        self,
        weights: Weights,
        progress: Callable[[DownloadProgress], None] | None = None,
        variant: str | None = None,
    ) -> ResolvedWeights:
        """A folder with the weights, kept until it is closed. Blocks while they are fetched, here or elsewhere.

        `variant` is which of several precisions of a diffusers repository is wanted.

        Raises:
            InvalidRequest: the address or what is behind it is refused; `code` says which rule, the sentence why.
            Unprocessable: `cache_full`.
            ModelUnavailable: `weights_unreachable`; another attempt goes on where this one stopped.
        """
        self._store.prepare()
        scheme = weights.uri.partition("://")[0]
        if scheme not in self._sources:
            raise refusal("invalid_weights_uri", f"weights come from {', '.join(self._sources)}, not from {scheme}://")
        source = self._sources[scheme](weights.uri)
        key = hashlib.sha256(f"{weights.uri}#{variant}".encode() if variant else weights.uri.encode()).hexdigest()
        if (held := self._cached(weights, source, key)) is not None:
            return held
        with self._store.turn(key):
            if (held := self._cached(weights, source, key)) is not None:
                return held
            report = _in_turns(progress)
            return _Resolution(self._store, source, weights, variant, key, report, self._environment).run()

    def _cached(self, weights: Weights, source: Source, key: str) -> ResolvedWeights | None:
        """What needs no look at the source: a known digest, or an address that pins its revision."""
        if weights.digest is not None:
            for name in _entry_names(weights.digest):
                if (held := self._store.hold(name)) is not None:
                    return held
        known = self._store.recall(key)
        if known is None or known.entry is None or source.pinned_revision != known.revision:
            return None
        _check_digest(weights, known.digest)
        return self._store.hold(known.entry)


@dataclass(frozen=True, slots=True)
class _Resolution:
    """One address that this process works on, alone."""

    store: WeightStore
    source: Source
    weights: Weights
    variant: str | None
    key: str
    report: Report
    environment: Mapping[str, str]

    def run(self) -> ResolvedWeights:
        """List, and take what is known or make it."""
        known = self.store.recall(self.key)
        try:
            listing = self.source.listing(self.store.workdir(self.key), self.report)
        except ModelUnavailable as error:
            return self._last_known(known, error)
        if known is not None and known.revision == listing.revision:
            _check_digest(self.weights, known.digest)
            if (held := self._again(known, listing)) is not None:
                return held
        try:
            return self._make(listing)
        except InvalidRequest:
            self.store.discard(self.key)
            raise

    def _last_known(self, known: Address | None, error: ModelUnavailable) -> ResolvedWeights:
        """A replica that restarts does not need the hub to be up."""
        held = self.store.hold(known.entry) if known is not None and known.entry is not None else None
        if known is None or held is None:
            raise error
        _check_digest(self.weights, known.digest)
        _log.warning("%s; using revision %s of %s from the cache", error, known.revision, known.uri)
        return held

    def _again(self, known: Address, listing: Listing) -> ResolvedWeights | None:
        if known.entry is not None:
            return self.store.hold(known.entry)
        return ResolvedWeights(listing.root, known.digest) if listing.root is not None else None

    def _make(self, listing: Listing) -> ResolvedWeights:
        plan = plan_weights(listing, self.source.brings_code_beside, self.variant)
        for decision in plan.decisions:
            _log.info("%s: %s %s: %s", self.weights.uri, decision.action, decision.file.path, decision.reason)
        folder, hashes = self._gather(listing, plan)
        inspect(folder, hashes)
        digest = tree_digest(hashes)
        _check_digest(self.weights, digest)
        plain, converted = _entry_names(digest)
        if plan.convert is not None:
            made = self.store.workdir(self.key) / "converted"
            shutil.rmtree(made, ignore_errors=True)
            convert_gguf(folder / plan.convert, made, self.environment, self.report)
            inspect(made, folder_sizes(made))
            return self._commit(listing, digest, converted, made)
        if listing.root is not None:
            self.store.remember(self.key, Address(self.weights.uri, listing.revision, digest, None))
            self.store.discard(self.key)
            return ResolvedWeights(listing.root, digest)
        return self._commit(listing, digest, plain, folder)

    def _gather(self, listing: Listing, plan: WeightPlan) -> tuple[Path, dict[str, str]]:
        """The folder that holds the chosen files, and their sha256 by path."""
        growth = EXPECTED_GROWTH if plan.convert else 0
        num_bytes = plan.num_bytes * (growth + (0 if listing.root else 1))
        if num_bytes:
            self.store.reserve(self.key, num_bytes)
        if listing.root is not None:
            root = listing.root
            return root, {f.path: file_sha256(root / f.path, f.path, self.report) for f in plan.chosen}
        revision = hashlib.sha256(listing.revision.encode()).hexdigest()[:16]
        return self._fetch(plan, self.store.workdir(self.key) / revision)

    def _fetch(self, plan: WeightPlan, folder: Path) -> tuple[Path, dict[str, str]]:
        folder.mkdir(exist_ok=True)
        with ThreadPoolExecutor(_NUM_PARALLEL, thread_name_prefix="weights") as pool:
            try:
                started = {
                    file.path: pool.submit(download, self.source, file, folder / file.path, self.report)
                    for file in plan.chosen
                }
                return folder, {path: future.result() for path, future in started.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _commit(self, listing: Listing, digest: str, name: str, folder: Path) -> ResolvedWeights:
        entry = Entry(name, digest, self.weights.uri, folder_sizes(folder))
        held = self.store.hold(name) or self.store.commit(entry, folder)
        self.store.remember(self.key, Address(self.weights.uri, listing.revision, digest, name))
        self.store.discard(self.key)
        return held


def tree_digest(hashes: Mapping[str, str]) -> str:
    """`sha256:...` over `<sha256>  <path>` lines sorted by path: what sha256sum prints for the folder."""
    lines = "".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes))
    return "sha256:" + hashlib.sha256(lines.encode()).hexdigest()


def _entry_names(digest: str) -> tuple[str, str]:
    """The entry of the files themselves, and of what they are converted to."""
    bare = digest.removeprefix("sha256:")
    return bare, f"{bare}-gguf{CONVERTER_VERSION}"


def _check_digest(weights: Weights, digest: str) -> None:
    if weights.digest not in (None, digest):
        raise refusal("digest_mismatch", f"{weights.uri} has the digest {digest}, and {weights.digest} was asked for")


def _in_turns(progress: Callable[[DownloadProgress], None] | None) -> Report:
    """Files come in parallel; the caller is told by one thread at a time."""
    lock = threading.Lock()

    def report(event: DownloadProgress) -> None:
        if progress is not None:
            with lock:
                progress(event)

    return report
