"""The way in and out of people: to the identity provider and back. No page is made here; every answer leads on."""

from typing import Annotated, Any
from urllib.parse import urljoin

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from serve.auth.log_in import CameBack
from serve.auth.logins import LOGIN_SECONDS
from serve.domain.errors import LoginUnavailable
from serve.gateway.cookies import BROWSER, SESSION, check_origin, check_own_site, cookie, origin, set_cookie
from serve.gateway.people_views import LoggedOutView
from serve.gateway.routing import Injected
from serve.gateway.services import Services
from serve.telemetry import logs

router = APIRouter(tags=["login"])
_FOUND: dict[int | str, dict[str, Any]] = {302: {"description": "Leads on."}}
_NO_STORE = {"cache-control": "no-store"}


@router.get("/login", operation_id="logIn", status_code=302, responses=_FOUND, response_class=RedirectResponse)
async def log_in(
    request: Request,
    services: Injected,
    return_to: Annotated[str, Query(description="Where to go afterwards: a path of this address.")] = "/",
) -> Response:
    """Go to the identity provider, and come back logged in."""
    scope, settings = request.scope, services.settings.auth
    browser = cookie(scope, settings, BROWSER)
    leaving = await services.people.log_in.begin(origin(scope, settings), return_to, browser)
    response = RedirectResponse(leaving.url, 302, _NO_STORE)
    set_cookie(response, scope, settings, BROWSER, leaving.browser, LOGIN_SECONDS)
    return response


@router.get(
    "/login/callback", operation_id="finishLogIn", status_code=302, responses=_FOUND, response_class=RedirectResponse
)
async def finish_log_in(
    request: Request, services: Injected, state: str = "", code: str = "", error: str = "", iss: str = ""
) -> Response:
    """Where the identity provider sends people back to."""
    scope, settings = request.scope, services.settings.auth
    back = CameBack(cookie(scope, settings, BROWSER), state, code, error, iss)
    arrived = await services.people.log_in.finish(origin(scope, settings), back)
    await services.people.sessions.end_token(cookie(scope, settings, SESSION))
    response = RedirectResponse(arrived.return_to, 302, _NO_STORE)
    set_cookie(response, scope, settings, SESSION, arrived.token, services.people.sessions.lifetime_ms // 1000)
    return response


@router.post("/logout", operation_id="logOut")
async def log_out(
    request: Request,
    response: Response,
    services: Injected,
    everywhere: Annotated[bool, Query(description="End all your sessions, in every browser.")] = False,
) -> LoggedOutView:
    """End the session, at once; without one, nothing happens. Its cookie is taken back."""
    scope, settings = request.scope, services.settings.auth
    # Browsers send no cookie from another site, and would still take the empty one of the answer.
    check_origin(scope, settings)
    session = await services.people.sessions.find(cookie(scope, settings, SESSION))
    url = None
    if session is not None:
        check_own_site(scope, settings, session)
        await services.people.sessions.end(session, everywhere)
        url = await _provider_url(services, session.id_token, origin(scope, settings))
    set_cookie(response, scope, settings, SESSION, "", None)
    return LoggedOutView(provider_logout_url=url)


async def _provider_url(services: Services, id_token: str | None, here: str) -> str | None:
    """Logging out here does not depend on the provider."""
    if id_token is None:
        return None
    try:
        return await services.people.log_in.leave_url(id_token, urljoin(here, "/"))
    except LoginUnavailable as error:
        logs.bind(provider=error.message)
        return None
