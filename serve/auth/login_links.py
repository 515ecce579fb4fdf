"""Links that log in once: how whoever runs the platform gets into the web app where there is no identity provider.

A link's code stands behind the `#` of its address, where neither a server nor a Referer sees it, and is spent by a POST
of the page: whoever only looks at the address, as chat programs do, spends nothing. The database holds its hash.

Who comes by a link is the local administrator, one person of the installation. What makes links can do as much already:
the platform itself, and administrators.
"""

from collections.abc import Callable

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.access import Caller, Scope
from serve.auth.keys import Keys
from serve.auth.log_in import Known
from serve.auth.logins import is_random_text, random_text
from serve.auth.roles import Role, standing_of
from serve.auth.tenants import DEFAULT_TENANT
from serve.auth.tokens import is_key_id, sha256_of
from serve.auth.users import BY_HAND, Identity
from serve.domain.errors import Unauthenticated
from serve.domain.ports import Clock
from serve.storage.records import Records
from serve.storage.tables import login_links, users

LINK_SECONDS = 900
"""How long a link waits for its browser. `slipway login-link` makes another."""
LOCAL_ADMINISTRATOR = Identity("slipway:local", "administrator", name="Local administrator")
_MAX_LINKS = 1000
"""That wait at the same time; beyond this the oldest are forgotten."""


class LoginLinks:
    """The links of this installation; `choose` gives 43 unpredictable characters."""

    def __init__(
        self, records: Records, clock: Clock, known: Known, keys: Keys, choose: Callable[[], str] = random_text
    ) -> None:
        self._records = records
        self._clock = clock
        self._known = known
        self._keys = keys
        self._choose = choose

    async def make(self, by: Caller | None) -> tuple[str, int]:
        """A new link's code, which is stored nowhere, and when it ends, in Unix milliseconds. `by` None is the platform
        itself, anybody else an administrator."""
        code, now_ms = self._choose(), self._clock.now_ms()
        maker = None if by is None else by.user_id or by.key_id
        row = {"sha256": sha256_of(code), "made_by": maker, "expires_ms": now_ms + LINK_SECONDS * 1000}
        expires_ms = login_links.c.expires_ms
        newest = select(expires_ms).order_by(expires_ms.desc()).offset(_MAX_LINKS).limit(1)
        async with self._records.write() as connection:
            await connection.execute(login_links.insert().values(row))
            oldest_ms = await connection.scalar(newest) or 0
            await connection.execute(delete(login_links).where(expires_ms <= max(now_ms, oldest_ms)))
        return code, now_ms + LINK_SECONDS * 1000

    async def take(self, code: str) -> str:
        """The token of a new session of the local administrator; the link is gone afterwards.

        Raises:
            Unauthenticated: `login_link_not_valid`: no such link, used, too old, or made by somebody who could no
            longer make one.
        """
        if not is_random_text(code):
            raise _not_valid()
        async with self._records.write() as connection:
            this = login_links.c.sha256 == sha256_of(code)
            taken = await connection.execute(delete(login_links).where(this).returning(*login_links.c))
            row = taken.mappings().one_or_none()
        if row is None or row["expires_ms"] <= self._clock.now_ms() or not await self._is_meant(row["made_by"]):
            raise _not_valid()
        return await self._start()

    async def _is_meant(self, maker: str | None) -> bool:
        """Whether who made the link still is an administrator."""
        if maker is None:
            return True
        if is_key_id(maker):
            key = await self._keys.live(maker)
            return key is not None and Scope.ADMIN in key.scopes
        async with self._records.read() as connection:
            return (await standing_of(connection, maker)).is_admin

    async def _start(self) -> str:
        known = self._known
        async with self._records.write() as connection:
            user = await known.users.logged_in(connection, LOCAL_ADMINISTRATOR)
            await connection.execute(update(users).where(users.c.id == user.id).values(admin_by=BY_HAND))
            await self._enroll(connection, user.id)
            token = await known.sessions.start(connection, user)
        known.sessions.forget(user.id)
        return token

    async def _enroll(self, connection: AsyncConnection, user_id: str) -> None:
        """In the first tenant by name, too, so that its page of members tells of everybody who works there."""
        await self._known.members.ensure(connection, DEFAULT_TENANT, user_id, Role.OWNER)


def _not_valid() -> Unauthenticated:
    return Unauthenticated(
        "This link was used already, is too old, or is cut short. `slipway login-link` makes another.",
        "login_link_not_valid",
    )
