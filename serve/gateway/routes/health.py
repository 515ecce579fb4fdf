"""Whether this process lives and whether it can work, for anybody; and what it has counted, for those who may know."""

import asyncio
import hmac
import logging

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serve.auth.access import Scope, require
from serve.domain.errors import ModelUnavailable
from serve.gateway.access import bearer
from serve.gateway.routing import Injected, platform_of
from serve.gateway.views import HealthView
from serve.telemetry.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])
_log = logging.getLogger("slipway.gateway")
_READY_SECONDS = 2.0


@router.get("/livez", operation_id="isAlive")
async def is_alive() -> HealthView:
    """The event loop turns."""
    return HealthView()


@router.get("/readyz", operation_id="isReady")
async def is_ready(services: Injected) -> HealthView:
    """The database answers."""
    try:
        async with asyncio.timeout(_READY_SECONDS):
            await services.records.ping()
    except Exception:
        _log.warning("the database does not answer", exc_info=True)
        raise ModelUnavailable("The database does not answer.", "not_ready") from None
    return HealthView()


@router.get(
    "/metrics",
    operation_id="readMetrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text."}},
)
async def read_metrics(request: Request, services: Injected) -> Response:
    """What Prometheus scrapes: every tenant's usage and cost, for the metrics token or an administrator's key."""
    token = bearer(request.scope) or ""
    expected = services.settings.gateway.metrics_token.get_secret_value()
    if not expected or not hmac.compare_digest(token.encode("utf-8", "surrogatepass"), expected.encode()):
        require(await services.keys.authenticate(token), Scope.ADMIN)
    return Response(services.metrics.render(await platform_of(request).read()), headers={"content-type": CONTENT_TYPE})
