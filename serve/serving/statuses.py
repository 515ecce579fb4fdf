"""How the models are doing, read from Ray's report and kept for a moment."""

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Mapping
from typing import Any

import httpx

from serve.domain.errors import SlipwayError
from serve.domain.serving import ModelState, ModelStatus
from serve.serving.ray_rest import RayRest
from serve.serving.serve_config import MODEL_APP_PREFIX, REPLICA_DEPLOYMENT

_log = logging.getLogger(__name__)

_FRESH_SECONDS = 1.0
_ANSWER_SECONDS = 3.0
"""Callers wait for the report: a dashboard that hangs must not hang the catalogue with it."""
_MESSAGE_LENGTH = 500
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r'  File ".*", line \d+')
_OWN_ERROR = re.compile(r"serve\.domain\.errors\.\w+: ")
_PACKAGE = re.compile(r"(?:\w+\.)+(?=\w+(?::|$))")


class RayStatuses:
    """The report, at most a second old; the last known one while Ray does not answer."""

    def __init__(self, rest: RayRest) -> None:
        self._rest = rest
        self._lock = asyncio.Lock()
        self._read_at = -_FRESH_SECONDS
        self._statuses: Mapping[str, ModelStatus] = {}
        self._is_answering = True

    async def current(self) -> Mapping[str, ModelStatus]:
        """By model name."""
        async with self._lock:
            if time.monotonic() - self._read_at >= _FRESH_SECONDS:
                await self._refresh()
        return self._statuses

    async def _refresh(self) -> None:
        is_answering = True
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                self._statuses = read_statuses(await self._rest.applications())
        except (httpx.HTTPError, SlipwayError, TimeoutError) as error:
            is_answering = False
            if self._is_answering:
                _log.warning("Ray does not say how the models are doing: %s", error or type(error).__name__)
        self._is_answering = is_answering
        self._read_at = time.monotonic()


def read_statuses(applications: Mapping[str, Any]) -> dict[str, ModelStatus]:
    """Ray's report on applications, as ours on models."""
    return {
        name.removeprefix(MODEL_APP_PREFIX): _status(application)
        for name, application in applications.items()
        if name.startswith(MODEL_APP_PREFIX)
    }


def _status(application: Mapping[str, Any]) -> ModelStatus:
    deployment = application.get("deployments", {}).get(REPLICA_DEPLOYMENT, {})
    replicas = deployment.get("replicas", ())
    ready = sum(replica.get("state") == "RUNNING" for replica in replicas)
    desired = deployment.get("target_num_replicas") or 0
    status = application.get("status")
    if ready:
        state = ModelState.READY
    elif status == "DEPLOY_FAILED":
        state = ModelState.FAILED
    elif desired == 0 and status == "RUNNING":
        state = ModelState.AT_ZERO
    else:  # UNHEALTHY among them: what Ray says while it replaces a replica that died
        state = ModelState.LOADING
    message = _reason(deployment.get("message") or application.get("message") or "")
    return ModelStatus(state, ready, desired, "" if state is ModelState.READY else message)


def why_failed(application: Mapping[str, Any]) -> str:
    """What a person can use of Ray's report on an application that cannot start."""
    told = (deployment.get("message") for deployment in application.get("deployments", {}).values())
    return _reason(next(filter(None, told), "") or application.get("message") or "")


def _reason(text: str) -> str:
    """What a person can use of Ray's message: the sentence of the last exception, or else the first line."""
    lines = _COLOUR.sub("", text).strip().splitlines()
    frames = [number for number, line in enumerate(lines) if _FRAME.match(line)]
    if not frames:
        return lines[0][:_MESSAGE_LENGTH] if lines else ""
    after = iter(lines[frames[-1] + 1 :])
    told = " ".join(line.strip() for line in itertools.dropwhile(lambda line: line.startswith("  "), after))
    return told.removeprefix(_last_module(told))[:_MESSAGE_LENGTH]


def _last_module(told: str) -> str:
    """The part of `package.module.SomeError: sentence` that says nothing to a person."""
    found = _OWN_ERROR.match(told) or _PACKAGE.match(told)
    return found.group() if found else ""
