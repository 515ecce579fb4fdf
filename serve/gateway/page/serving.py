"""The layer that answers with the page, before anybody is asked for a key.

A GET for a file of the build gets it; a browser's GET for any other path that is none of the API's gets the document,
which knows its own routes. All the rest goes on to the API, whose 404 is JSON.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.gateway.access import API_PREFIX, is_public
from serve.gateway.page.absent import absent_answer
from serve.gateway.page.encodings import IDENTITY, chosen
from serve.gateway.page.files import ASSETS, DIST, INDEX, PageFile, PageFiles
from serve.gateway.page.policy import FILE_HEADERS, PAGE_HEADERS

_ROOT = "/"
_WITH_SUFFIX = re.compile(r".*\.[^/]*")
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"


@dataclass(frozen=True, slots=True)
class _Route:
    """What the access log and the metrics call it: as few names as there are kinds."""

    path: str


# Programs get another answer at the same address.
_DOCUMENT_HEADERS = PAGE_HEADERS | {"cache-control": _ASK_FIRST, "vary": "accept, accept-encoding"}
_DOCUMENT, _FILE = _Route("/{page}"), _Route(f"{ASSETS}{{file}}")


class Page:
    """Serves what is built in `folder`."""

    def __init__(self, app: ASGIApp, folder: Path = DIST) -> None:
        self._app = app
        self._files = PageFiles(folder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._answer(scope) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        await (response or self._app)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        """None where the API is to answer."""
        path = scope["path"]
        if _is_the_apis(path):
            return None
        headers = Headers(scope=scope)
        file = self._files.find(path) if path != INDEX else None
        if file is not None:
            scope["route"] = _FILE
            cache = _FOR_EVER if path.startswith(ASSETS) else _ASK_FIRST
            return _file_answer(file, scope["method"], headers, FILE_HEADERS | {"cache-control": cache})
        if not _is_document(path, headers.get("accept", "")):
            return None
        scope["route"] = _DOCUMENT
        index = self._files.find(INDEX)
        if index is not None:
            return _file_answer(index, scope["method"], headers, _DOCUMENT_HEADERS)
        return absent_answer(headers.get("accept", "")) if path == _ROOT else None


def _is_the_apis(path: str) -> bool:
    return path.startswith(API_PREFIX) or path == API_PREFIX.rstrip("/") or is_public(path)


def _is_document(path: str, accept: str) -> bool:
    """The root is one for whoever asks; elsewhere programs get the API's 404."""
    return path == _ROOT or ("text/html" in accept and not _WITH_SUFFIX.fullmatch(path))


def _file_answer(file: PageFile, method: str, asked: Headers, headers: dict[str, str]) -> Response:
    encoding = chosen(asked.get("accept-encoding", ""), file.bodies)
    etag, body = file.etag(encoding), file.bodies[encoding]
    told = {"vary": "accept-encoding"} | headers | {"etag": etag}
    if _knows(asked.get("if-none-match", ""), etag):
        return Response(None, 304, told)
    told |= {"content-type": file.media_type, "content-length": str(len(body))}
    if encoding != IDENTITY:
        told["content-encoding"] = encoding
    return Response(body if method == "GET" else None, 200, told)


def _knows(if_none_match: str, etag: str) -> bool:
    given = {text.strip().removeprefix("W/") for text in if_none_match.split(",")}
    return etag in given or "*" in given
