"""Browser sessions: a random token in a cookie, and here its hash.

A session says who somebody is; what the person may do is looked up with it, so a role that changes, a key that is
revoked and a membership that ends show within `cache_seconds`. A session of a key is as good as the key.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.access import Caller
from serve.auth.key_cache import KeyCache
from serve.auth.key_grants import KeyInfo
from serve.auth.keys import Keys
from serve.auth.limits import UNLIMITED, Limits, limits_from
from serve.auth.logins import is_random_text, random_text
from serve.auth.roles import Standing, standing_of, user_key_id
from serve.auth.tenants import DEFAULT_PROJECT, DEFAULT_TENANT
from serve.auth.tokens import sha256_of
from serve.auth.users import KEY_ISSUER, Identity, User, Users, user_from
from serve.domain.errors import NotFound
from serve.domain.names import TenantName
from serve.domain.ports import Clock
from serve.storage.records import Records
from serve.storage.tables import projects, sessions, tenants, users

_TOUCHES_PER_IDLE = 20
"""A session's last request is written down so often in the time that it may be idle; not at each request."""
_MAX_ID_TOKEN_CHARS = 8192
"""A longer one is no hint for a URL."""
MAX_SESSIONS_OF_ONE = 100
"""Of one person or key. Anybody with a key may begin sessions, so beyond this the oldest end."""
NO_TENANT = TenantName("")
"""Of somebody who is no member anywhere: the name of no tenant, with no scope in it."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that lives. `key` is there where somebody logged in with one."""

    digest: str
    user: User
    csrf: str
    tenant: TenantName
    expires_ms: int
    standing: Standing
    key: KeyInfo | None = None
    id_token: str | None = None
    project_limits: Limits = UNLIMITED
    tenant_limits: Limits = UNLIMITED

    @property
    def id(self) -> str:
        """What the cache forgets by: all sessions of the person."""
        return self.user.id

    def is_live(self, now_ms: int) -> bool:
        """Whether it opens anything at `now_ms`."""
        return now_ms < self.expires_ms and (self.key is None or self.key.is_live(now_ms))

    @property
    def is_admin(self) -> bool:
        """Whether every tenant is within reach."""
        return self.standing.is_admin if self.key is None else self.key.caller().is_admin

    def caller(self) -> Caller:
        """Who a request of this session comes from."""
        if self.key is not None:
            project = self.key.project if self.tenant == self.key.tenant else DEFAULT_PROJECT
            caller = replace(self.key.caller(), tenant=self.tenant, project=project)
        else:
            scopes, key_id = self.standing.scopes_in(self.tenant), user_key_id(self.user.id)
            caller = Caller(self.tenant, DEFAULT_PROJECT, key_id, scopes, user_id=self.user.id)
        return replace(caller, project_limits=self.project_limits, tenant_limits=self.tenant_limits)


class Sessions:
    """The sessions of this installation; `hours` is how long one lasts, `choose` gives 43 unpredictable characters."""

    def __init__(
        self,
        records: Records,
        clock: Clock,
        known: tuple[Users, Keys],
        hours: float,
        cache_seconds: float,
        choose: Callable[[], str] = random_text,
    ) -> None:
        self._records = records
        self._clock = clock
        self._users, self._keys = known
        self.lifetime_ms = round(hours * 3_600_000)
        self._idle_ms = self.lifetime_ms // 2
        self._choose = choose
        self._cache: KeyCache[Session] = KeyCache(clock, cache_seconds)

    async def start(self, connection: AsyncConnection, user: User, id_token: str | None = None) -> str:
        """Within the caller's transaction, a new session; the token is returned and stored nowhere."""
        token, now_ms = self._choose(), self._clock.now_ms()
        row = {
            "sha256": sha256_of(token),
            "user_id": user.id,
            "csrf": self._choose(),
            "created_ms": now_ms,
            "seen_ms": now_ms,
            "expires_ms": now_ms + self.lifetime_ms,
            "id_token": id_token if id_token and len(id_token) <= _MAX_ID_TOKEN_CHARS else None,
        }
        ended = or_(sessions.c.expires_ms <= now_ms, sessions.c.seen_ms <= now_ms - self._idle_ms)
        await connection.execute(delete(sessions).where(ended))
        await connection.execute(sessions.insert().values(row))
        await self._end_oldest(connection, user.id)
        return token

    async def _end_oldest(self, connection: AsyncConnection, user_id: str) -> None:
        newest = select(sessions.c.sha256).where(sessions.c.user_id == user_id)
        newest = newest.order_by(sessions.c.created_ms.desc(), sessions.c.sha256)
        ended = (await connection.scalars(newest.offset(MAX_SESSIONS_OF_ONE))).all()
        if ended:
            await connection.execute(delete(sessions).where(sessions.c.sha256.in_(ended)))

    async def start_with_key(self, key: Caller) -> str:
        """A session of the key that `key` came with, as good as the key and no longer."""
        async with self._records.write() as connection:
            user = await self._users.logged_in(connection, Identity(KEY_ISSUER, key.key_id))
            return await self.start(connection, user)

    async def find(self, token: str | None) -> Session | None:
        """The live session of `token`; None for any other, however strange. What cannot be one reaches no query."""
        if token is None or not is_random_text(token):
            return None
        digest = sha256_of(token)
        session = await self._cache.get(digest, lambda: self._find(digest))
        return session if session is not None and session.is_live(self._clock.now_ms()) else None

    async def _find(self, digest: str) -> Session | None:
        now_ms = self._clock.now_ms()
        query = select(sessions, *(column.label(f"users_{column.name}") for column in users.c))
        query = query.join(users, users.c.id == sessions.c.user_id).where(sessions.c.sha256 == digest)
        async with self._records.read() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
            if row is None or min(row["expires_ms"], row["seen_ms"] + self._idle_ms) <= now_ms:
                return None
            user = user_from({column.name: row[f"users_{column.name}"] for column in users.c})
            standing = await standing_of(connection, user.id)
        key = None if user.key_id is None else await self._keys.live(user.key_id)
        if user.key_id is not None and key is None:
            return None
        await self._touch(digest, row["seen_ms"], now_ms)
        found = Session(
            digest, user, row["csrf"], NO_TENANT, row["expires_ms"], standing, key, id_token=row["id_token"]
        )
        return await self._in_tenant(found, row["tenant"])

    async def _touch(self, digest: str, seen_ms: int, now_ms: int) -> None:
        if now_ms - seen_ms >= self._idle_ms // _TOUCHES_PER_IDLE:
            async with self._records.write() as connection:
                this = sessions.c.sha256 == digest
                await connection.execute(update(sessions).where(this).values(seen_ms=now_ms))

    async def _in_tenant(self, session: Session, chosen: str | None) -> Session:
        """`session` in the tenant that was chosen, where it still may be, or in the first."""
        tenant = TenantName(chosen) if chosen and self._may_enter(session, chosen) else self._first(session)
        project = session.key.project if session.key and session.key.tenant == tenant else DEFAULT_PROJECT
        of_tenant = select(tenants.c.limits).where(tenants.c.name == tenant)
        of_project = select(projects.c.limits).where(projects.c.tenant == tenant, projects.c.name == project)
        async with self._records.read() as connection:
            tenant_limits = limits_from(await connection.scalar(of_tenant))
            project_limits = limits_from(await connection.scalar(of_project))
        return replace(session, tenant=tenant, project_limits=project_limits, tenant_limits=tenant_limits)

    def _may_enter(self, session: Session, tenant: str) -> bool:
        own = session.standing.roles if session.key is None else (session.key.tenant,)
        return session.is_admin or tenant in own

    def _first(self, session: Session) -> TenantName:
        if session.key is not None:
            return session.key.tenant
        return next(iter(session.standing.roles), DEFAULT_TENANT if session.is_admin else NO_TENANT)

    async def switch(self, session: Session, tenant: str) -> Session:
        """The session in another tenant of its person's, with another token: a page that still shows the tenant before,
        in another tab, changes nothing in this one. Raises NotFound, the same for unknown and for closed ones."""
        known = None
        if "\x00" not in tenant and self._may_enter(session, tenant):
            async with self._records.read() as connection:
                known = await connection.scalar(select(tenants.c.name).where(tenants.c.name == tenant))
        if known is None:
            raise NotFound(f"You are in no tenant {tenant[:80]!r}. GET /v1/me lists yours.", param="tenant")
        csrf = self._choose()
        async with self._records.write() as connection:
            this = sessions.c.sha256 == session.digest
            await connection.execute(update(sessions).where(this).values(tenant=tenant, csrf=csrf))
        self.forget(session.user.id)
        return await self._in_tenant(replace(session, csrf=csrf), tenant)

    async def end(self, session: Session, everywhere: bool = False) -> None:
        """End a session, or with `everywhere` all of its person: at once here, within `cache_seconds` in other
        processes."""
        which = sessions.c.user_id == session.user.id if everywhere else sessions.c.sha256 == session.digest
        async with self._records.write() as connection:
            await connection.execute(delete(sessions).where(which))
        self.forget(session.user.id)

    async def end_token(self, token: str) -> None:
        """End the session of `token`, if it is one: a new login takes the place of what the browser had."""
        before = await self.find(token)
        if before is not None:
            await self.end(before)

    def forget(self, user_id: str) -> None:
        """Look up anew what the person is."""
        self._cache.forget(user_id)
