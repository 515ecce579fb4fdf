"""How routes reach the services, and the route class for the hot path."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, cast

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.gateway.adapters import AdapterLookup
from serve.gateway.admission import Admission
from serve.gateway.image_inputs import ImageInputs
from serve.gateway.openai.requests import Requests
from serve.gateway.platform_metrics import PlatformMetrics
from serve.gateway.services import Services
from serve.gateway.tenant_places import TenantPlaces


def services_of(request: Request) -> Services:
    """What `create_app` was given."""
    return cast(Services, request.app.state.services)


def requests_of(request: Request) -> Requests:
    """The reader of OpenAI bodies, with its cache of request classes."""
    return cast(Requests, request.app.state.requests)


def image_inputs_of(request: Request) -> ImageInputs:
    """The reader of requests' pictures, with its threads."""
    return cast(ImageInputs, request.app.state.image_inputs)


def adapters_of(request: Request) -> AdapterLookup:
    """What finds callers' adapters, with its cache."""
    return cast(AdapterLookup, request.app.state.adapters)


def admission_of(request: Request) -> Admission:
    """What lets calls in, with what it remembers of callers' limits."""
    return cast(Admission, request.app.state.admission)


def platform_of(request: Request) -> PlatformMetrics:
    """What reads the platform's series, with what it read last."""
    return cast(PlatformMetrics, request.app.state.platform_metrics)


def uploads_of(request: Request) -> TenantPlaces:
    """Places for adapters on their way in."""
    return cast(TenantPlaces, request.app.state.uploads)


def applying_of(request: Request) -> asyncio.Lock:
    """Held while documents are applied: of two changes, the executor must hear the later state last."""
    return cast(asyncio.Lock, request.app.state.applying)


async def _services(request: Request) -> Services:
    return services_of(request)


Injected = Annotated[Services, Depends(_services)]


class LeanRoute(APIRoute):
    """A route in the OpenAPI document that is called without FastAPI's dependency machinery.

    The endpoint takes the request and returns a response. What this leaves out costs more CPU than what is left.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = _plain(endpoint)


def _plain(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
