"""Login by the identity provider, from its begin to a session."""

from dataclasses import dataclass

from serve.auth.groups import GroupRoles
from serve.auth.logins import Logins, is_random_text, random_text
from serve.auth.members import Members
from serve.auth.oidc import Provider
from serve.auth.sessions import Sessions
from serve.auth.users import Users
from serve.domain.errors import NotFound, Unauthenticated
from serve.storage.records import Records

CALLBACK_PATH = "/login/callback"
_MAX_CODE_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Leaving:
    """Somebody on the way to the provider: where to, and the secret that the browser keeps meanwhile."""

    url: str
    browser: str


@dataclass(frozen=True, slots=True)
class CameBack:
    """What the provider sent somebody back with, empty where it is not there, and the secret of the browser."""

    browser: str
    state: str = ""
    code: str = ""
    error: str = ""
    issuer: str = ""


@dataclass(frozen=True, slots=True)
class Arrived:
    """Somebody who has logged in: the session's token, and where to go."""

    token: str
    return_to: str


@dataclass(frozen=True, slots=True)
class Known:
    """Where people are written down."""

    records: Records
    users: Users
    members: Members
    sessions: Sessions


class LogIn:
    """The flow. `provider` None: nobody logs in but with a key."""

    def __init__(self, provider: Provider | None, issuer: str, groups: GroupRoles, logins: Logins, known: Known):
        self._provider = provider
        self._issuer = issuer
        self._groups = groups
        self._logins = logins
        self._known = known

    async def begin(self, origin: str, return_to: str, browser: str) -> Leaving:
        """Send somebody to the provider. `origin` is this address, `browser` the secret of its cookie, if any.

        Raises:
            NotFound: there is no provider. InvalidRequest: `return_to`. LoginUnavailable.
        """
        provider = self._has_provider()
        browser = browser if is_random_text(browser) else random_text()
        asked = await self._logins.begin(browser, return_to)
        return Leaving(await provider.login_url(asked, origin + CALLBACK_PATH), browser)

    async def finish(self, origin: str, back: CameBack) -> Arrived:
        """Let in whom the provider vouches for: the first time makes the user, every time the groups are followed.

        Raises:
            Unauthenticated: the login was not begun in this browser, or the provider does not vouch.
            NotFound: there is no provider. LoginUnavailable.
        """
        provider = self._has_provider()
        begun = await self._logins.take(back.state, back.browser)
        if back.issuer not in ("", self._issuer):
            raise Unauthenticated("This answer is of another identity provider. Log in again.", "login_refused")
        if back.error or not 0 < len(back.code) <= _MAX_CODE_CHARS:
            raise Unauthenticated("The identity provider did not let you in. Log in again.", "login_refused")
        vouched = await provider.vouched(back.code, begun.asked, origin + CALLBACK_PATH)
        known = self._known
        async with known.records.write() as connection:
            user = await known.users.logged_in(connection, vouched.identity)
            await known.members.follow_groups(connection, user, self._groups.grants(vouched.groups))
            token = await known.sessions.start(connection, user, vouched.id_token)
        known.sessions.forget(user.id)
        return Arrived(token, begun.return_to)

    async def leave_url(self, id_token: str | None, return_to: str) -> str | None:
        """Where to log out at the provider, too; None where there is no such place. Raises LoginUnavailable."""
        return None if self._provider is None else await self._provider.logout_url(id_token, return_to)

    def _has_provider(self) -> Provider:
        if self._provider is None:
            raise NotFound(
                "No identity provider is set up here (SLIPWAY_AUTH_ISSUER). POST /v1/session turns a key into a "
                "session.",
                "login_not_configured",
            )
        return self._provider
