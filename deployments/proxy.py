"""What Slipway adds to Ray's HTTP proxies; Ray imports `middlewares` by the name in its environment."""

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADER = "x-request-id"


class OneRequestId:
    """Ray's proxy appends an id of its own to every answer; the gateway's comes first, and counts."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""

        async def send_with_one(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                ids = headers.getlist(_HEADER)
                if len(ids) > 1:
                    headers[_HEADER] = ids[0]
            await send(message)

        await self._app(scope, receive, send_with_one)


def middlewares() -> list[Middleware]:
    """Outermost last."""
    return [Middleware(OneRequestId)]
