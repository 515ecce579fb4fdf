"""Who asks: the key or the person, what either may do, and the session of a browser."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serve.auth.access import Caller
from serve.auth.sessions import Session
from serve.domain.errors import InvalidRequest
from serve.gateway.bodies import read_as
from serve.gateway.cookies import SESSION, check_origin, cookie, set_cookie
from serve.gateway.exchange import exchange_of
from serve.gateway.people_views import MembershipView, MeView, PersonView, TenantChoice
from serve.gateway.routing import Injected
from serve.gateway.services import Services
from serve.gateway.views import at_or_none, limits_view

router = APIRouter(tags=["me"])
_ONLY_SESSIONS = "Only a browser's session can be in several tenants; a key is of one."


@router.get("/v1/me", operation_id="getMe")
async def get_me(request: Request, response: Response, services: Injected) -> MeView:
    """Who you are to this platform, and what you may do. Any key or session may ask."""
    exchange = exchange_of(request.scope)
    response.headers["cache-control"] = "no-store"
    return await me_view(services, exchange.authenticated, exchange.session)


@router.post("/v1/session", operation_id="createSession", status_code=201)
async def create_session(request: Request, response: Response, services: Injected) -> MeView:
    """Log a browser in with a key, which is sent as to any route. The session may do what the key may, as long as the
    key may."""
    exchange, settings = exchange_of(request.scope), services.settings.auth
    if exchange.session is not None:
        raise InvalidRequest("This browser has a session; send a key to begin another.", "has_session")
    check_origin(request.scope, settings)
    sessions = services.people.sessions
    await sessions.end_token(cookie(request.scope, settings, SESSION))
    token = await sessions.start_with_key(exchange.authenticated)
    session = await sessions.find(token)
    if session is None:
        raise InvalidRequest("The key ended at this moment; use another.", "key_not_live")
    set_cookie(response, request.scope, settings, SESSION, token, sessions.lifetime_ms // 1000)
    response.headers["cache-control"] = "no-store"
    return await me_view(services, session.caller(), session)


@router.post("/v1/session/tenant", operation_id="switchTenant")
async def switch_tenant(request: Request, services: Injected) -> MeView:
    """Go on in another of one's tenants."""
    session = exchange_of(request.scope).session
    if session is None:
        raise InvalidRequest(_ONLY_SESSIONS, "no_session")
    body = await read_as(request, TenantChoice)
    session = await services.people.sessions.switch(session, body.tenant)
    return await me_view(services, session.caller(), session)


async def me_view(services: Services, caller: Caller, session: Session | None) -> MeView:
    """Who that is, to be seen."""
    person = None if session is None or session.key is not None else session.user
    return MeView(
        user=person and PersonView(id=person.id, email=person.identity.email, name=person.identity.name),
        key_id=caller.key_id,
        tenant=caller.tenant or None,
        project=caller.project,
        scopes=sorted(caller.scopes),
        models=None if caller.models is None else list(caller.models),
        limits=limits_view(caller.limits),
        administrator=caller.is_admin,
        tenants=await _tenants(services, caller, session),
        csrf_token=None if session is None else session.csrf,
        expires_at=at_or_none(None if session is None else session.expires_ms),
    )


async def _tenants(services: Services, caller: Caller, session: Session | None) -> list[MembershipView]:
    roles = {} if session is None else session.standing.roles
    if session is not None and caller.is_admin:
        names = [tenant.name for tenant in await services.tenants.list()]
    else:
        names = list(roles) or [caller.tenant] * bool(caller.tenant)
    return [MembershipView(tenant=name, role=roles.get(name)) for name in names]
