"""Links that log in once: made by administrators, spent by the web app."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from serve.auth.access import Caller
from serve.auth.login_links import LoginLinks
from serve.domain.errors import Unauthenticated
from serve.domain.moments import at
from serve.gateway.access import allowed
from serve.gateway.bodies import read_as
from serve.gateway.cookies import SESSION, check_origin, cookie, origin, set_cookie
from serve.gateway.people_views import LinkCode, LoginLinkView, MeView
from serve.gateway.routes.me import me_view
from serve.gateway.routing import Injected

router = APIRouter(tags=["login"])
SIGN_IN_PATH = "/signin"
"""The web app's page that spends a link."""

Administrator = Annotated[Caller, Depends(allowed("admin"))]


def link_url(here: str, code: str) -> str:
    """The address that logs in. What stands behind the `#` is sent to no server."""
    return f"{here}{SIGN_IN_PATH}#code={code}"


@router.post("/v1/login-links", operation_id="createLoginLink", status_code=201)
async def create_login_link(
    request: Request, response: Response, services: Injected, caller: Administrator
) -> LoginLinkView:
    """A link that logs one browser in, once, as the local administrator. For administrators."""
    links: LoginLinks = services.people.login_links
    code, expires_ms = await links.make(caller)
    response.headers["cache-control"] = "no-store"
    here = origin(request.scope, services.settings.auth)
    return LoginLinkView(url=link_url(here, code), code=code, expires_at=at(expires_ms))


@router.post("/v1/session/link", operation_id="createSessionByLink", status_code=201)
async def create_session_by_link(request: Request, response: Response, services: Injected) -> MeView:
    """Log this browser in with the code of a link, which is spent."""
    settings, sessions = services.settings.auth, services.people.sessions
    check_origin(request.scope, settings)
    body = await read_as(request, LinkCode)
    token = await services.people.login_links.take(body.code)
    await sessions.end_token(cookie(request.scope, settings, SESSION))
    session = await sessions.find(token)
    if session is None:
        raise Unauthenticated("The session ended at this moment. Sign in again.", "login_link_not_valid")
    set_cookie(response, request.scope, settings, SESSION, token, sessions.lifetime_ms // 1000)
    response.headers["cache-control"] = "no-store"
    return await me_view(services, session.caller(), session)
