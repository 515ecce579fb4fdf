"""hf:// - a model hub, over its documented HTTP API: list a revision, then read its files by Range.

https://huggingface.co/docs/hub/api and /docs/hub/models-downloading: `GET /api/models/{id}/revision/{rev}?blobs=true`
names the commit and the files with sizes and, for large ones, sha256; `GET /{id}/resolve/{commit}/{path}` answers
with the bytes or a redirect to them.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from serve.catalog.sources.source import (
    Interrupted,
    Listing,
    RemoteFile,
    Report,
    StaleRange,
    refusal,
    unreachable,
)
from serve.domain.errors import SlipwayError

DEFAULT_ENDPOINT = "https://huggingface.co"
_ADDRESS = re.compile(r"hf://(?P<id>[\w.-]{1,96}(/[\w.-]{1,96})?)(@(?P<revision>[\w./-]{1,200}))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TIMEOUT = httpx.Timeout(30, connect=10)


class HubSource:
    """A revision of a repository. Without a revision it is `main`, asked for anew each time."""

    brings_code_beside = True

    def __init__(self, uri: str, endpoint: str, token: str) -> None:
        """Raises InvalidRequest: `invalid_weights_uri`."""
        match = _ADDRESS.fullmatch(uri)
        if match is None or ".." in uri:
            raise refusal("invalid_weights_uri", f"a hub address reads hf://organisation/name[@revision]: {uri}")
        self._id = match["id"]
        self._revision = match["revision"] or "main"
        self._endpoint = (endpoint or DEFAULT_ENDPOINT).rstrip("/")
        headers = {"Accept-Encoding": "identity", "User-Agent": "slipway"}
        self._headers = headers | ({"Authorization": f"Bearer {token}"} if token else {})
        self.pinned_revision = self._revision if _COMMIT.fullmatch(self._revision) else None
        self._commit = self._revision

    def listing(self, workdir: Path, report: Report) -> Listing:
        """Raises InvalidRequest: `weights_not_found`, `weights_forbidden`; ModelUnavailable."""
        url = f"{self._endpoint}/api/models/{self._id}/revision/{quote(self._revision, safe='')}"
        try:
            response = httpx.get(
                url, params={"blobs": "true"}, headers=self._headers, timeout=_TIMEOUT, follow_redirects=True
            )
        except httpx.HTTPError as error:
            raise unreachable(f"the hub does not answer for {self._id}: {type(error).__name__}") from error
        if response.status_code != 200:
            raise self._refusal(response.status_code)
        return self._read(response)

    def _read(self, response: httpx.Response) -> Listing:
        try:
            body = response.json()
            commit, files = str(body["sha"]), tuple(_file(sibling) for sibling in body["siblings"])
        except (ValueError, KeyError, TypeError) as error:
            raise unreachable(f"the hub's answer for {self._id} is not what its API says") from error
        if not _COMMIT.fullmatch(commit):
            raise unreachable(f"the hub names no commit for {self._id}")
        if self.pinned_revision not in (None, commit):
            raise refusal("digest_mismatch", f"the hub answered with {commit} where {self._revision} was asked for")
        self._commit = commit
        return Listing(commit, files)

    def _refusal(self, status: int) -> SlipwayError:
        where = f"{self._id}@{self._revision}"
        if status in (401, 403):
            return refusal(
                "weights_forbidden",
                f"the hub refuses {where}: accept its licence there, and set SLIPWAY_MODELS_HF_TOKEN to your token",
            )
        if status == 404:
            return refusal("weights_not_found", f"the hub has no {where}, or not for this token")
        return unreachable(f"the hub answers {status} for {where}")

    @contextmanager
    def open(self, file: RemoteFile, offset: int) -> Iterator[Iterator[bytes]]:
        """The file's bytes from `offset`; a redirect to another host is followed without the token."""
        url = f"{self._endpoint}/{self._id}/resolve/{self._commit}/{quote(file.path)}"
        headers = self._headers | ({"Range": f"bytes={offset}-"} if offset else {})
        try:
            with httpx.stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True) as response:
                self._check(response, offset)
                # As they come: gathered into larger chunks, what a cut leaves unfinished would be lost.
                yield response.iter_bytes()
        except httpx.HTTPError as error:
            raise Interrupted(type(error).__name__) from error

    def _check(self, response: httpx.Response, offset: int) -> None:
        status = response.status_code
        if status == 416 or (offset and status == 200):
            raise StaleRange
        if status in (408, 429) or status >= 500:
            raise Interrupted(f"status {status}")
        if status not in (200, 206):
            raise self._refusal(status)
        if offset and not response.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
            raise StaleRange


def _file(sibling: dict[str, Any]) -> RemoteFile:
    large = sibling.get("lfs") or {}
    return RemoteFile(
        path=str(sibling["rfilename"]),
        num_bytes=int(sibling.get("size") or large.get("size") or 0),
        sha256=large.get("sha256"),
        etag=sibling.get("blobId"),
    )
