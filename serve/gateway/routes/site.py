"""What the web app asks first, before it knows who is there."""

from functools import cache
from importlib.metadata import version
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serve.domain.moments import at
from serve.gateway.access import SITE_PATH, bearer
from serve.gateway.admission import Admission
from serve.gateway.cookies import SESSION, cookie, set_cookie
from serve.gateway.docs import PAGE
from serve.gateway.people_views import MeView
from serve.gateway.playground import Playground
from serve.gateway.routes.me import me_view
from serve.gateway.routing import Injected, admission_of
from serve.gateway.services import Services
from serve.gateway.site_views import AllowanceView, LoginWaysView, OpenIdView, PlaygroundView, SiteView
from serve.metering.rates.limits import Limit, Standing
from serve.settings import AuthSettings

router = APIRouter(tags=["me"])
_CURRENCY = "USD"
_OF = {"anonymous": "everybody"}


@cache
def _version() -> str:
    return version("slipway-serve")


@router.get(SITE_PATH, operation_id="getSite")
async def get_site(request: Request, response: Response, services: Injected) -> SiteView:
    """What this platform offers, and who you are to it. Needs no key; a session that has ended is taken back, so that
    what needs no key works again."""
    response.headers["cache-control"] = "no-store"
    me = await _me(request, response, services)
    return SiteView(
        version=_version(),
        currency=_CURRENCY,
        docs_url=PAGE,
        login=LoginWaysView(openid=_openid(services.settings.auth), link=True, key=True),
        playground=await _playground(request, services, is_known=me is not None),
        me=me,
    )


async def _me(request: Request, response: Response, services: Services) -> MeView | None:
    """With a key, its own; a wrong one is refused as everywhere."""
    if request.headers.get("authorization") is not None:
        return await me_view(services, await services.keys.authenticate(bearer(request.scope)), None)
    settings = services.settings.auth
    token = cookie(request.scope, settings, SESSION)
    session = await services.people.sessions.find(token)
    if session is not None:
        return await me_view(services, session.caller(), session)
    if token:
        set_cookie(response, request.scope, settings, SESSION, "", None)
    return None


def _openid(settings: AuthSettings) -> OpenIdView | None:
    if not settings.issuer:
        return None
    return OpenIdView(url="/login", label=settings.provider_name or urlsplit(settings.issuer).netloc)


async def _playground(request: Request, services: Services, *, is_known: bool) -> PlaygroundView:
    playground = Playground(services)
    is_open = await playground.is_open()
    if is_known or not is_open:
        return PlaygroundView(enabled=is_open, requests=[])
    admission: Admission = admission_of(request)
    client = playground.client(request.scope)
    standings = await services.rates.look(admission.limits_without_key(client))
    own = f"client:{client.name}"
    now_ms = services.clock.now_ms()
    return PlaygroundView(enabled=True, requests=[_allowance(one, own, now_ms) for one in _tightest(standings)])


def _tightest(standings: list[Standing]) -> list[Standing]:
    """Of each window the one with the least left, in the order of the windows."""
    by_window: dict[str, Standing] = {}
    for standing in sorted(standings, key=lambda one: one.remaining):
        by_window.setdefault(standing.limit.window.name, standing)
    return sorted(by_window.values(), key=lambda one: one.limit.window.window_ms)


def _allowance(standing: Standing, own: str, now_ms: int) -> AllowanceView:
    resets_ms = now_ms + round(standing.reset_seconds * 1000)
    return AllowanceView(
        of=_whose(standing.limit, own),
        window=standing.limit.window.name,
        limit=standing.limit.most,
        left=standing.remaining,
        resets_at=at(resets_ms) if standing.reset_seconds else None,
    )


def _whose(limit: Limit, own: str) -> str:
    return _OF.get(limit.scope) or ("client" if limit.scope == own else "site")
