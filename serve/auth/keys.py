"""API keys: made, checked, listed, revoked. Only their SHA-256 is stored; a token is shown once, by `create`.

Authority never grows by delegation: what a key makes has no more scopes than it has, belongs to its tenant and
project (unless it is an admin's) and does not outlive it.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import RowMapping, Select, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.access import ALL_SCOPES, Caller, Scope
from serve.auth.key_cache import KeyCache
from serve.auth.tenants import DEFAULT_PROJECT, DEFAULT_TENANT, Tenants, ensure_project, valid_name
from serve.auth.tokens import Token, is_key_id, key_id_of, make_token, sha256_of
from serve.domain.errors import InvalidRequest, NotFound, PermissionDenied, Unauthenticated
from serve.domain.names import KeyId, ProjectName, TenantName
from serve.domain.ports import Clock
from serve.storage.records import Records
from serve.storage.tables import keys, tenants

MAX_TITLE_CHARS = 120
_NO_KEY = "No API key was given. Send the header `Authorization: Bearer slw_...`; `slipway keys create` makes a key."
_BAD_KEY = (
    "This API key is not valid: it is unknown, expired or revoked. Check that it was copied whole, "
    "or ask for a new one (`slipway keys create`)."
)
_NO_DIGEST = "0" * 64
"""Compared with where no key is found, so that an unknown id takes the same path as a wrong secret."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A stored key, without its secret. Times are Unix milliseconds."""

    id: KeyId
    tenant: TenantName
    project: ProjectName
    title: str
    scopes: frozenset[Scope]
    created_ms: int
    expires_ms: int | None = None
    revoked_ms: int | None = None

    def is_live(self, now_ms: int) -> bool:
        """Whether the key opens anything at `now_ms`."""
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)

    def caller(self) -> Caller:
        """Who a request with this key comes from."""
        return Caller(self.tenant, self.project, self.id, self.scopes)


class Keys:
    """The keys of this installation.

    `cache_seconds` is how long a checked key is trusted without asking the database, and so how long one that was
    revoked through another process lives on. `choose` picks one unpredictable character of a string.
    """

    def __init__(
        self,
        records: Records,
        clock: Clock,
        cache_seconds: float,
        choose: Callable[[str], str] = secrets.choice,
    ) -> None:
        self._records = records
        self._clock = clock
        self._choose = choose
        self._cache: KeyCache[KeyInfo] = KeyCache(clock, cache_seconds)

    async def authenticate(self, token: str | None) -> Caller:
        """Who presents `token`.

        Every token is hashed before anything is done with it, and what cannot be a key reaches no query.

        Raises:
            Unauthenticated: the same for an unknown, wrong, expired or revoked key.
        """
        if not token:
            raise Unauthenticated(_NO_KEY, "missing_api_key")
        digest, key_id = sha256_of(token), key_id_of(token)
        info = None if key_id is None else await self._cache.get(digest, lambda: self._find(key_id, digest))
        if info is None or not info.is_live(self._clock.now_ms()):
            raise Unauthenticated(_BAD_KEY)
        return info.caller()

    async def _find(self, key_id: KeyId, digest: str) -> KeyInfo | None:
        async with self._records.read() as connection:
            row = (await connection.execute(_by_id(key_id))).mappings().one_or_none()
        matches = hmac.compare_digest(row["secret_sha256"] if row else _NO_DIGEST, digest)
        return _info(row) if row and matches else None

    async def create(
        self,
        *,
        tenant: str,
        project: str,
        title: str,
        scopes: Iterable[Scope],
        expires_ms: int | None = None,
        parent: Caller | None,
    ) -> tuple[KeyInfo, str]:
        """A new key and its token, which cannot be had again. `parent` None is the platform itself.

        The project is made if the tenant lacks it. A key whose parent expires, expires with it at the latest.

        Raises:
            InvalidRequest: title, scopes, names or expiry make no sense.
            PermissionDenied: the key would be able to do more than its parent.
            Unauthenticated: the parent was revoked, or has expired, in the meantime.
            NotFound: no such tenant.
        """
        token = make_token(self._choose)
        wanted = KeyInfo(
            token.key_id,
            TenantName(valid_name(tenant, "tenant")),
            ProjectName(valid_name(project, "project")),
            _valid_title(title),
            _valid_scopes(scopes),
            self._clock.now_ms(),
            self._valid_expiry(expires_ms),
        )
        if parent is not None:
            check_attenuation(parent, wanted)
        async with self._records.write() as connection:
            await _check_tenant(connection, wanted.tenant)
            info = wanted if parent is None else await self._outlived_by(connection, wanted, parent.key_id)
            await self._insert(connection, info, token)
        return info, token.text

    def _valid_expiry(self, expires_ms: int | None) -> int | None:
        if expires_ms is not None and expires_ms <= self._clock.now_ms():
            raise InvalidRequest("The key would be expired from the start; give a time to come.", param="expires_at")
        return expires_ms

    async def _outlived_by(self, connection: AsyncConnection, wanted: KeyInfo, parent_id: KeyId) -> KeyInfo:
        row = (await connection.execute(_by_id(parent_id))).mappings().one_or_none()
        parent = _info(row) if row else None
        if parent is None or not parent.is_live(self._clock.now_ms()):
            raise Unauthenticated(_BAD_KEY)
        return bounded_by(wanted, parent)

    async def _insert(self, connection: AsyncConnection, info: KeyInfo, token: Token) -> None:
        await ensure_project(connection, info.tenant, info.project, info.created_ms)
        row = {
            "id": info.id,
            "tenant": info.tenant,
            "project": info.project,
            "title": info.title,
            "secret_sha256": token.sha256,
            "scopes": sorted(info.scopes),
            "created_ms": info.created_ms,
            "expires_ms": info.expires_ms,
        }
        await connection.execute(keys.insert().values(row))

    async def list(self, tenant: str, project: str | None = None) -> list[KeyInfo]:
        """The tenant's keys (of one project, if named), newest first, revoked ones included."""
        query = select(keys).where(keys.c.tenant == tenant).order_by(keys.c.created_ms.desc(), keys.c.id)
        if project is not None:
            query = query.where(keys.c.project == project)
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [_info(row) for row in rows]

    async def revoke(self, tenant: str, key_id: str, by: Caller | None = None) -> None:
        """End a key, at once here and within `cache_seconds` in other processes. Revoking it again is no error.

        `by` may end what it could have made; None is the platform itself.

        Raises:
            NotFound: no such key in this tenant, or another's project.
            PermissionDenied: the key has scopes that `by` lacks.
        """
        async with self._records.write() as connection:
            row = await self._owned(connection, tenant, key_id)
            if by is not None:
                _check_revocation(by, row)
            live = keys.c.id == row.id, keys.c.revoked_ms.is_(None)
            await connection.execute(update(keys).where(*live).values(revoked_ms=self._clock.now_ms()))
        self._cache.forget(row.id)

    async def _owned(self, connection: AsyncConnection, tenant: str, key_id: str) -> KeyInfo:
        row = None
        if is_key_id(key_id):
            found = await connection.execute(_by_id(key_id).where(keys.c.tenant == tenant))
            row = found.mappings().one_or_none()
        if row is None:
            raise _unknown(key_id)
        return _info(row)

    async def bootstrap(self) -> str | None:
        """The first key's token: tenant and project `default`, every scope. None if there is any key already.

        Processes that start together on one database get one token between them.
        """
        token, now_ms = make_token(self._choose), self._clock.now_ms()
        first = KeyInfo(token.key_id, DEFAULT_TENANT, DEFAULT_PROJECT, "first key", ALL_SCOPES, now_ms)
        async with self._records.write() as connection:
            await Tenants(self._records, self._clock).ensure(connection, DEFAULT_TENANT)
            # The row lock makes PostgreSQL's transactions take turns here; SQLite's writers do anyway.
            await connection.execute(select(tenants).where(tenants.c.name == DEFAULT_TENANT).with_for_update())
            if (await connection.execute(select(keys.c.id).limit(1))).first() is not None:
                return None
            await self._insert(connection, first, token)
        return token.text


def check_attenuation(parent: Caller, child: KeyInfo) -> None:
    """Raises PermissionDenied unless everything that `child` may do, `parent` may do."""
    excess = sorted(scope for scope in child.scopes if not parent.has(scope))
    if excess:
        raise PermissionDenied(
            f"A key cannot give scopes that it lacks: {', '.join(excess)}. Leave them out, or use a key that has them.",
            param="scopes",
        )
    if parent.is_admin:
        return
    for field, own, asked in (("tenant", parent.tenant, child.tenant), ("project", parent.project, child.project)):
        if own != asked:
            raise PermissionDenied(
                f"Only an admin key makes keys for another {field}; this one belongs to {own!r}.", param=field
            )


def bounded_by(child: KeyInfo, parent: KeyInfo) -> KeyInfo:
    """`child`, ending when `parent` does if it named no end. Raises PermissionDenied if it named a later one."""
    if parent.expires_ms is None:
        return child
    if child.expires_ms is not None and child.expires_ms > parent.expires_ms:
        raise PermissionDenied(
            "A key cannot outlive the key that makes it; give an earlier expires_at.", param="expires_at"
        )
    ends_ms = parent.expires_ms if child.expires_ms is None else child.expires_ms
    return KeyInfo(child.id, child.tenant, child.project, child.title, child.scopes, child.created_ms, ends_ms)


def _check_revocation(by: Caller, key: KeyInfo) -> None:
    if by.is_admin:
        return
    if (by.tenant, by.project) != (key.tenant, key.project):
        raise _unknown(key.id)
    if not all(by.has(scope) for scope in key.scopes):
        raise PermissionDenied("This key may not revoke a key with more scopes than its own. Use an admin key.")


def _unknown(key_id: str) -> NotFound:
    return NotFound(f"There is no key {key_id[:80]!r}. `slipway get keys` lists them.")


async def _check_tenant(connection: AsyncConnection, tenant: str) -> None:
    if (await connection.execute(select(tenants.c.name).where(tenants.c.name == tenant))).first() is None:
        raise NotFound(f"There is no tenant {tenant!r}. Make it first (POST /v1/admin/tenants).", param="tenant")


def _valid_title(title: str) -> str:
    # PostgreSQL's text holds no NUL, and a title is one line wherever it is shown.
    if not title.strip() or len(title) > MAX_TITLE_CHARS or not title.isprintable():
        raise InvalidRequest(f"A title is one printable line of 1 to {MAX_TITLE_CHARS} characters.", param="title")
    return title


def _valid_scopes(scopes: Iterable[Scope]) -> frozenset[Scope]:
    try:
        found = frozenset(Scope(scope) for scope in scopes)
    except ValueError as error:
        raise InvalidRequest(f"{error}. Scopes are {', '.join(Scope)}.", param="scopes") from None
    if not found:
        raise InvalidRequest(f"A key needs at least one scope of {', '.join(Scope)}.", param="scopes")
    return found


def _by_id(key_id: str) -> Select[tuple[object, ...]]:
    return select(keys).where(keys.c.id == key_id)


def _info(row: RowMapping) -> KeyInfo:
    return KeyInfo(
        KeyId(row["id"]),
        TenantName(row["tenant"]),
        ProjectName(row["project"]),
        row["title"],
        frozenset(Scope(scope) for scope in row["scopes"]),
        row["created_ms"],
        row["expires_ms"],
        row["revoked_ms"],
    )
