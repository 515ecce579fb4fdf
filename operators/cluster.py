"""The Kubernetes API, as the operator uses it: JSON in, JSON out, any kind.

The client library's asynchronous client carries the requests (addresses, certificates, tokens that are renewed). Its
generated models are not used: they drop fields that they do not know, and an apply must say exactly what is meant.
"""

import asyncio
import json
import os
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config

from operators.permissions import PERMISSIONS, Permission, permission_of
from operators.settings import OperatorSettings
from operators.state import FIELD_MANAGER, Manifest, ObjectKey

_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_RETRIED = frozenset({429, 500, 502, 503, 504})
_PAUSES_SECONDS = (0.2, 0.5, 1.0)
_UNDECLARED = "field not declared in schema"
"""Said, with a 500, of an apply with a field that the cluster's definition lacks, as older ones do: no fault of the
server's, and none that goes away."""
_MAX_RETRY_AFTER_SECONDS = 10.0
"""A server that asks for more is left in peace until the next pass."""


class ClusterError(Exception):
    """The Kubernetes API answered with an error, or not at all (`status` 0)."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(status, reason, message)
        self.status, self.reason, self.message = status, reason, message

    def __str__(self) -> str:
        return f"{self.status} {self.reason}: {self.message}"


def is_outside() -> bool:
    """Whether the cluster is one that a file names, rather than the one that this process runs in."""
    return bool(os.environ.get("KUBECONFIG")) or not os.environ.get("KUBERNETES_SERVICE_HOST")


async def open_api() -> client.ApiClient:
    """A client of the cluster that KUBECONFIG names, or of the one that this process runs in.

    Raises:
        kubernetes.aio.config.ConfigException: where there is neither.
    """
    configuration = client.Configuration()
    if is_outside():
        # The library reads the variable when it is imported, and not again.
        await config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    else:
        config.load_incluster_config(client_configuration=configuration)
    return client.ApiClient(configuration)


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, api: client.ApiClient, settings: OperatorSettings) -> None:
        self._api = api
        self._settings = settings
        self.namespace = settings.namespace

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def get_namespace(self) -> Manifest:
        """The namespace's own object."""
        return await self._request("GET", f"/api/v1/namespaces/{self.namespace}")

    async def listed(self, kind: str, selector: str = "") -> tuple[list[Manifest], str]:
        """All objects of a kind, page by page, and the resource version that they were read at.

        A continuation that has expired (410) begins anew: half a list is none.
        """
        row = permission_of(kind)
        for _ in range(3):
            try:
                return await self._pages(row, selector)
            except ClusterError as error:
                if error.status != 410:
                    raise
        raise ClusterError(410, "Expired", f"the list of {row.resource} changes faster than it can be read")

    async def _pages(self, row: Permission, selector: str) -> tuple[list[Manifest], str]:
        items: list[Manifest] = []
        query = {"limit": str(self._settings.page_size)} | ({"labelSelector": selector} if selector else {})
        while True:
            page = await self._request("GET", self._path(row), query)
            for item in page["items"]:
                items.append({"apiVersion": row.api_version, "kind": row.kind} | item)
            if not (token := page["metadata"].get("continue")):
                return items, page["metadata"].get("resourceVersion", "")
            query["continue"] = token

    async def served(self) -> frozenset[tuple[str, str]]:
        """(apiVersion, kind) of every kind of the operator's that this cluster serves."""
        found = set[tuple[str, str]]()
        for version in sorted({row.api_version for row in PERMISSIONS}):
            try:
                resources = (await self._request("GET", _root(version)))["resources"]
            except ClusterError as error:
                if error.status != 404:
                    raise
                continue
            found |= {(version, resource["kind"]) for resource in resources}
        return frozenset(found & {(row.api_version, row.kind) for row in PERMISSIONS})

    async def apply(self, manifest: Manifest) -> Manifest:
        """Server-side apply: the object has these fields from now on, and loses those of ours that are not here."""
        return await self._apply(manifest, "")

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """The same for an object's status alone. With a `uid`, an object that has taken its name is left alone."""
        return await self._apply(manifest, "/status")

    async def _apply(self, manifest: Manifest, part: str) -> Manifest:
        key = ObjectKey.of(manifest)
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        path = self._path(permission_of(key.kind), key.name) + part
        return await self._request("PATCH", path, query, manifest, _APPLY)

    async def patch(self, key: ObjectKey, body: Manifest) -> Manifest:
        """A JSON merge patch."""
        path = self._path(permission_of(key.kind), key.name)
        return await self._request("PATCH", path, {"fieldManager": FIELD_MANAGER}, body, _MERGE)

    async def create(self, manifest: Manifest) -> Manifest:
        """A new object."""
        path = self._path(permission_of(manifest["kind"]))
        return await self._request("POST", path, {"fieldManager": FIELD_MANAGER}, manifest)

    async def delete(self, key: ObjectKey, uid: str = "") -> Manifest | None:
        """Delete an object and, in the background, what it owns: the object while it is still ending, or None. One that
        is gone, or another by now, is no error."""
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            answer = await self._request("DELETE", self._path(permission_of(key.kind), key.name), body=options)
        except ClusterError as error:
            if error.status not in (404, 409):
                raise
            return None
        return answer if answer.get("kind") == key.kind and "deletionTimestamp" in answer["metadata"] else None

    def _path(self, row: Permission, name: str = "") -> str:
        path = f"{_root(row.api_version)}/namespaces/{self.namespace}/{row.resource}"
        return f"{path}/{name}" if name else path

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        """One request, repeated while the server is busy. Every write here may be repeated: it says what should be."""
        for pause in (*_PAUSES_SECONDS, None):
            try:
                return await self._send(method, path, query, body, content_type)
            except _Busy as busy:
                if pause is None or busy.retry_after_seconds > _MAX_RETRY_AFTER_SECONDS:
                    raise busy.error from None
                await asyncio.sleep(max(busy.retry_after_seconds, pause * random.uniform(0.5, 1.5)))
        raise AssertionError("the last attempt returns or raises")

    async def _send(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Manifest | None, content_type: str
    ) -> Manifest:
        headers: dict[str, str] = {"Content-Type": content_type, "Accept": "application/json"}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self._api.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        timeout = aiohttp.ClientTimeout(total=self._settings.request_seconds)
        try:
            response = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _Busy(ClusterError(0, type(error).__name__, str(error))) from error
        if response.status >= 400:
            raise _failure(response.status, data, response.headers.get("Retry-After", ""))
        answer: Manifest = json.loads(data)
        return answer


class _Busy(Exception):
    """An answer after which the same request may succeed."""

    def __init__(self, error: ClusterError, retry_after_seconds: float = 0) -> None:
        super().__init__(error, retry_after_seconds)
        self.error, self.retry_after_seconds = error, retry_after_seconds


def _failure(status: int, data: bytes, retry_after: str) -> Exception:
    try:
        body: Any = json.loads(data)
    except ValueError:
        body = {}
    told = body if isinstance(body, dict) else {}
    if _UNDECLARED in str(told.get("message")):
        status = 422
    error = ClusterError(status, str(told.get("reason") or "Unknown"), str(told.get("message") or data[:200]))
    if status not in _RETRIED:
        return error
    return _Busy(error, float(retry_after) if retry_after.isdigit() else 0)


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
