"""An ASGI exchange by hand: for what a client library hides, such as leaving in the middle."""

import asyncio
from collections.abc import Mapping
from typing import Any

from starlette.types import ASGIApp, Message


class Exchange:
    """One request to `app`; `start()` runs it as a task, `leave()` is the client hanging up."""

    def __init__(self, app: ASGIApp, path: str, body: bytes, headers: Mapping[str, str], method: str = "POST") -> None:
        self._app = app
        self._path = path
        self._body = body
        self._method = method
        self._headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        self._gone = asyncio.Event()
        self._is_sent = False
        self.sent: list[Message] = []
        self.has_answered = asyncio.Event()

    async def run(self) -> None:
        """Answer the request to its end."""
        await self._app(self._scope(), self._receive, self._send)

    def start(self) -> "asyncio.Task[None]":
        """The same, in the background."""
        return asyncio.create_task(self.run())

    def leave(self) -> None:
        """Hang up."""
        self._gone.set()

    @property
    def status(self) -> int | None:
        """The answer's status, if it has begun."""
        return self.sent[0]["status"] if self.sent else None

    @property
    def body(self) -> bytes:
        """What was sent of the body so far."""
        return b"".join(message.get("body", b"") for message in self.sent)

    def _scope(self) -> dict[str, Any]:
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self._method,
            "scheme": "http",
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": self._headers,
            "client": ("127.0.0.1", 1),
            "server": ("slipway", 80),
        }

    async def _receive(self) -> Message:
        if not self._is_sent:
            self._is_sent = True
            return {"type": "http.request", "body": self._body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self.has_answered.set()
