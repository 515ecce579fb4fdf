"""A model hub's HTTP protocol over a real socket: revisions with siblings, resolve with etag and Range, and cuts."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_LARGE_BYTES = 1024


@dataclass
class Hub:
    """One repository, `org/model`. Tests change it while it answers."""

    files: dict[str, bytes]
    url: str = ""
    commit: str = COMMIT
    token: str | None = None
    """When set, what a caller must present."""
    cuts: list[int] = field(default_factory=list)
    """After how many bytes the next answers with large files break off."""
    ignores_range: bool = False
    wrong_sha256: bool = False
    is_down: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """(path in the repository, Range header) of every file that was asked for."""
    num_listings: int = 0

    def siblings(self) -> list[dict[str, object]]:
        """The files as the API lists them; large ones with their sha256."""
        return [self._sibling(path, data) for path, data in self.files.items()]

    def _sibling(self, path: str, data: bytes) -> dict[str, object]:
        found: dict[str, object] = {"rfilename": path, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
        if len(data) >= _LARGE_BYTES:
            sha256 = "0" * 64 if self.wrong_sha256 else hashlib.sha256(data).hexdigest()
            found["lfs"] = {"sha256": sha256, "size": len(data), "pointerSize": 134}
        return found


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, with_body: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        if hub.is_down:
            self._send(503, b"{}")
        elif hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._send(401, b'{"error": "Invalid credentials"}')
        elif path in (f"/api/models/org/model/revision/{r}" for r in ("main", "v1", hub.commit)):
            hub.num_listings += 1
            body = {"id": "org/model", "sha": hub.commit, "siblings": hub.siblings()}
            self._send(200, json.dumps(body).encode())
        elif path.startswith(prefix := f"/org/model/resolve/{hub.commit}/") and path[len(prefix) :] in hub.files:
            self._send_file(path[len(prefix) :], with_body)
        else:
            self._send(404, b'{"error": "Repository not found"}')

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _send_file(self, name: str, with_body: bool) -> None:
        data, asked = self.hub.files[name], self.headers.get("Range")
        self.hub.asked.append((name, asked))
        begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and not self.hub.ignores_range else 0
        self.send_response(206 if begin else 200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if not with_body:
            return
        if len(data) >= _LARGE_BYTES and self.hub.cuts:
            self.wfile.write(data[begin : begin + self.hub.cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(data[begin:])

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving_hub(files: dict[str, bytes]) -> Iterator[Hub]:
    """A hub with these files until the block ends."""
    hub = Hub(files)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
