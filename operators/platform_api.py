"""The platform's HTTP API, as the operator needs it: what documents it has, and writing them.

Reading never fails: a platform that does not answer gives a catalogue that says so. Of a write, three things can come:
it is done, it is refused (which is about the document, and told in its status), or the platform is away.
"""

from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from operators.state import ApiAction, Catalogue, Refusal, StoredDocument, Verb

MANAGER = "kubernetes"
_PAGE = 500
_MAX_PAGES = 1000
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_APPLY_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
"""The platform may fetch gigabytes of an adapter before it answers."""
_AWAY = frozenset({401, 403, 408, 429, 502, 503, 504})
"""Statuses that are about the platform, or our key, and not about the document."""


class PlatformAway(Exception):
    """The platform does not take writes now. `retry_after_seconds` is what it asks for, if it does."""

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message, retry_after_seconds)
        self.message = message
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return self.message


class PlatformApi:
    """A connection to one platform. Close it, or use it in an `async with`."""

    def __init__(self, url: str, key: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """`url` is the gateway's Service, `key` an administrator's."""
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=_TIMEOUT, transport=transport, trust_env=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def catalogue(self, tenant: str) -> Catalogue:
        """What the platform has: every model, and the tenant's adapters and workflows."""
        try:
            served = [row async for row in self._rows("/v1/admin/served", {})]
            adapters = await self._digests("Adapter", tenant)
            workflows = await self._digests("Workflow", tenant)
            version = str((await self._get("/v1/admin/version", {}))["version"])
        except PlatformAway as away:
            return Catalogue(message=away.message)
        return Catalogue(
            is_answering=True,
            models={row["name"]: _stored(row) for row in served},
            adapters=adapters,
            workflows=workflows,
            reports={row["name"]: row for row in served},
            version=version,
        )

    async def _digests(self, kind: str, tenant: str) -> dict[str, StoredDocument]:
        rows = self._rows("/v1/admin/digests", {"kind": kind, "tenant": tenant})
        return {row["name"]: _stored(row) async for row in rows}

    async def _rows(self, path: str, params: Mapping[str, str]) -> AsyncIterator[dict[str, Any]]:
        """Every row of a listing by name, page by page."""
        after: dict[str, str] = {}
        for _ in range(_MAX_PAGES):
            page = await self._get(path, {**params, **after, "limit": str(_PAGE)})
            for row in page["data"]:
                yield row
            if not page["has_more"] or not page["data"]:
                return
            after = {"after": page["data"][-1]["name"]}

    async def _get(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        answer = await self._ask("GET", path, params=params)
        if answer.is_error:
            code, message = _told(answer)
            raise PlatformAway(f"The platform answered {path} with {answer.status_code} ({code}): {message}")
        found = _json(answer)
        if not isinstance(found, dict):
            raise PlatformAway(f"What answers {path} is not the platform.")
        return found

    async def execute(self, action: ApiAction, tenant: str) -> Refusal | None:
        """Apply or delete one document. None: it is done; what is gone already is deleted.

        Raises:
            PlatformAway: whether it was done is not known; doing it again does no harm.
        """
        path = f"/v1/admin/documents/{action.kind}/{quote(action.name, safe='')}"
        options: dict[str, Any] = {"headers": {"X-Slipway-Managed-By": MANAGER}}
        if action.kind != "Model":
            options["params"] = {"tenant": tenant}
        if action.verb is Verb.DELETE:
            answer = await self._ask("DELETE", path, **options)
            is_done = answer.status_code == httpx.codes.NOT_FOUND or answer.is_success
        else:
            assert action.document is not None
            options["headers"]["Content-Type"] = "application/json"
            answer = await self._ask(
                "PUT", path, content=action.document.canonical(), timeout=_APPLY_TIMEOUT, **options
            )
            is_done = answer.is_success
        if is_done:
            return None
        code, message = _told(answer)
        digest = action.document.digest() if action.document is not None else ""
        return Refusal(action.kind, action.name, digest, code, message)

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise PlatformAway(f"The platform does not answer: {error or type(error).__name__}") from error
        if answer.status_code in _AWAY:
            code, message = _told(answer)
            told = f"The platform answered with {answer.status_code} ({code}): {message}"
            raise PlatformAway(told, _retry_after(answer))
        return answer


def _stored(row: Mapping[str, Any]) -> StoredDocument:
    return StoredDocument(
        digest=row["digest"],
        managed_by=row["managed_by"],
        body=row.get("document") or {},
        version=row.get("version") or "",
        base=row.get("base") or "",
    )


def _told(answer: httpx.Response) -> tuple[str, str]:
    """(code, sentence) of an answer that says no, whoever it is from."""
    body = _json(answer)
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        where = f" ({error['param']})" if error.get("param") else ""
        return str(error.get("code") or answer.status_code), f"{error.get('message') or answer.reason_phrase}{where}"
    return str(answer.status_code), answer.text[:200] or answer.reason_phrase


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        return float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
