"""The cookies of people's browsers, and what keeps other sites from using them.

A session's cookie is `__Host-slipway` where the address is https: no other host of the domain can set or read it, and
no plain connection carries it. What changes state with a cookie needs the session's own token in `x-csrf-token`, which
no other site can read, and must not come from another origin. Requests with a key need neither: no browser adds one.
"""

import hmac
from http.cookies import SimpleCookie
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import Scope

from serve.auth.sessions import Session
from serve.domain.errors import PermissionDenied
from serve.settings import AuthSettings

SESSION = "slipway"
BROWSER = "slipway-login"
"""Holds the secret of a browser that is logging in."""
CSRF_HEADER = "x-csrf-token"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_COOKIE_BYTES = 16 * 1024


def origin(scope: Scope, settings: AuthSettings) -> str:
    """This address as people see it: scheme, host and port."""
    if settings.public_url:
        parts = urlsplit(settings.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower()
    return f"{scope['scheme']}://{header(scope, b'host')}".lower()


def cookie(scope: Scope, settings: AuthSettings, name: str) -> str:
    """The cookie's value, or nothing. Of two with one name none is taken: one of them is not ours."""
    wanted = _named(scope, settings, name)
    text = "; ".join(_headers(scope, b"cookie"))
    if len(text) > _MAX_COOKIE_BYTES:
        return ""
    pairs = (pair.strip().partition("=") for pair in text.split(";"))
    found = [value for key, _, value in pairs if key == wanted]
    return found[0] if len(found) == 1 else ""


def set_cookie(
    response: Response, scope: Scope, settings: AuthSettings, name: str, value: str, seconds: int | None
) -> None:
    """Have the browser keep `value` for `seconds`; None has it forget."""
    made: SimpleCookie = SimpleCookie()
    key = _named(scope, settings, name)
    made[key] = value
    made[key]["path"] = "/"
    made[key]["httponly"] = True
    made[key]["samesite"] = "Lax"
    made[key]["max-age"] = str(seconds or 0)
    if _is_secure(scope, settings):
        made[key]["secure"] = True
    response.headers.append("set-cookie", made[key].OutputString())


def check_own_site(scope: Scope, settings: AuthSettings, session: Session) -> None:
    """Raises PermissionDenied for what would change state, and may be another site's doing."""
    if scope["method"] in _SAFE_METHODS:
        return
    check_origin(scope, settings)
    given = header(scope, CSRF_HEADER.encode())
    if not hmac.compare_digest(given.encode("utf-8", "surrogatepass"), session.csrf.encode()):
        raise PermissionDenied(
            f"A request with a cookie needs the header {CSRF_HEADER} with the csrf_token of GET /v1/me.", "csrf_failed"
        )


def check_origin(scope: Scope, settings: AuthSettings) -> None:
    """Raises PermissionDenied for a request that a browser says another site makes."""
    told = header(scope, b"origin").lower()
    if (told and told != origin(scope, settings)) or header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
        raise PermissionDenied(
            "This request comes from another site. If it is yours, SLIPWAY_AUTH_PUBLIC_URL must be the address that "
            "people see.",
            "csrf_failed",
        )


def header(scope: Scope, name: bytes) -> str:
    """The first header of this name, or nothing."""
    return next(iter(_headers(scope, name)), "")


def _headers(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _named(scope: Scope, settings: AuthSettings, name: str) -> str:
    return f"__Host-{name}" if _is_secure(scope, settings) else name


def _is_secure(scope: Scope, settings: AuthSettings) -> bool:
    return origin(scope, settings).startswith("https:")
