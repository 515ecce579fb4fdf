"""The platform over HTTP, as the command line sees it: answers, or a CliError with the right exit code."""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import httpx

from serve.cli.context import LOOPBACK, Context
from serve.cli.exits import CliError, ExitCode, Unreachable
from serve.cli.sse import ServerEvent, parse_events, split_lines

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
"""Seconds. Event streams send a comment every 15 s, so 60 s of silence is a lost connection there too."""
_CALL_TIMEOUT = httpx.Timeout(660.0, connect=5.0)
"""Seconds for an answer that a model writes: it may first have to start from zero."""


def _given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


class Client:
    """A connection to one platform. Close it, or use it in a `with`."""

    def __init__(self, context: Context) -> None:
        self.url = context.url
        headers = {"Authorization": f"Bearer {context.key}"} if context.key else {}
        # A proxy from the environment must not come between this machine and itself.
        proxied = urlsplit(context.url).hostname not in LOOPBACK
        try:
            self._http = httpx.Client(base_url=context.url, headers=headers, timeout=_TIMEOUT, trust_env=proxied)
        except (UnicodeEncodeError, httpx.InvalidURL) as error:
            raise CliError(f"The address or the key holds a strange character: {error}", ExitCode.USAGE) from error

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """GET `path`; parameters that are None are left out."""
        return self._ask("GET", path, params=_given(params))

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """POST `body` as JSON to `path`."""
        return self._ask("POST", path, json=body, headers=headers)

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Store `content` as an asset called `name`."""
        return self._ask("POST", "/v1/assets", params={"name": name}, content=content, timeout=_CALL_TIMEOUT)

    def download(self, path: str, params: Mapping[str, Any] | None = None) -> Iterator[bytes]:
        """The bytes at `path`, as they come; parameters that are None are left out."""
        with (
            self._reaching(),
            self._http.stream("GET", path, params=_given(params), timeout=_CALL_TIMEOUT) as response,
        ):
            if response.is_error:
                response.read()
                raise refusal(response)
            yield from response.iter_bytes()

    def make(self, path: str, **request: Any) -> tuple[dict[str, Any], bool]:
        """POST what may take long to send or to be taken in; the answer, and whether it is of something new."""
        response = self._answer("POST", path, timeout=_CALL_TIMEOUT, **request)
        return self._json(response), response.status_code == httpx.codes.CREATED

    def put(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """PUT `body` as JSON to `path`. The platform may fetch what the body names before it answers."""
        return self._ask("PUT", path, json=body, headers=headers, timeout=_CALL_TIMEOUT)

    def patch(self, path: str, body: Any) -> dict[str, Any]:
        """PATCH `body` as JSON to `path`."""
        return self._ask("PATCH", path, json=body)

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> None:
        """DELETE `path`; parameters that are None are left out."""
        self._ask("DELETE", path, params=_given(params))

    def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        response = self._answer(method, path, **request)
        return self._json(response) if response.content else {}

    def _answer(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._reaching():
            response = self._http.request(method, path, **request)
        if response.is_error:
            raise refusal(response)
        return response

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(self.url, "what answers there is not Slipway")
        return answer

    def events(self, path: str, after: str = "") -> Iterator[ServerEvent]:
        """The server-sent events at `path`, from the one after `after`; ends when the server ends."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        yield from self._stream("GET", path, headers=headers)

    def chat(self, body: dict[str, Any]) -> Generator[dict[str, Any], None, None]:
        """The chunks of a streamed chat completion. Raises CliError for an error in mid-stream, too."""
        for event in self._stream("POST", "/v1/chat/completions", json=body, timeout=_CALL_TIMEOUT):
            if event.data == "[DONE]":
                return
            chunk = json.loads(event.data)
            if "error" in chunk:
                raise CliError(str(chunk["error"].get("message", "The model failed.")), ExitCode.FAILED)
            yield chunk

    def _stream(self, method: str, path: str, **request: Any) -> Iterator[ServerEvent]:
        with self._reaching(), self._http.stream(method, path, **request) as response:
            if response.is_error:
                response.read()
                raise refusal(response)
            yield from parse_events(split_lines(response.iter_bytes()))

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise Unreachable(self.url, "no answer in time") from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Unreachable(self.url, str(error) or type(error).__name__) from error


class Refusal(CliError):
    """The platform's error. `code` is for programs; `problems` is everything that is wrong with a workflow."""

    code: str | None = None
    problems: tuple[dict[str, Any], ...] = ()


def refusal(response: httpx.Response) -> Refusal:
    """The platform's own sentence, its code, and the request id that its log knows."""
    problems: list[dict[str, Any]] = []
    try:
        error = response.json()["error"]
        message, code, param = error["message"], error.get("code"), error.get("param")
        problems = error.get("problems") or []
    except (ValueError, KeyError, TypeError):
        message, code, param = f"HTTP {response.status_code} {response.reason_phrase}", None, None
    known = {
        "code": code,
        "field": param,
        "retry after": _seconds(response.headers.get("retry-after")),
        "request": response.headers.get("x-request-id"),
    }
    details = "  ".join(f"{name}: {value}" for name, value in known.items() if value)
    refused = Refusal(message, ExitCode.REFUSED if response.is_client_error else ExitCode.FAILED, details)
    refused.code, refused.problems = code, tuple(problems)
    return refused


def _seconds(header: str | None) -> str | None:
    return f"{header} s" if header and header.isdigit() else header
