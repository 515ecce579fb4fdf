"""API keys: made, checked, listed, rotated, revoked. Only their SHA-256 is stored; a token is shown once.

Authority never grows by delegation (`serve.auth.key_grants`): what a key makes has no more scopes, models and limits
than it has, draws on its maker's limits and budgets beside its own (`serve.storage.key_lines`), belongs to its tenant
and project (unless it is an admin's) and does not outlive it. A person makes keys
for every project of a tenant, with no more scopes than the role has at that moment.
"""

import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace

from sqlalchemy import RowMapping, Select, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.access import ALL_SCOPES, Caller, Scope
from serve.auth.key_cache import KeyCache
from serve.auth.key_grants import (
    KeyInfo,
    bounded_by,
    check_attenuation,
    check_power_over,
    narrowed,
    valid_scopes,
    valid_title,
)
from serve.auth.limits import UNLIMITED, Limits, limits_from, valid_limits
from serve.auth.made_keys import end_made_keys
from serve.auth.model_lists import valid_models
from serve.auth.roles import standing_of
from serve.auth.tenants import DEFAULT_PROJECT, DEFAULT_TENANT, Tenants, ensure_project, valid_name
from serve.auth.tokens import Token, is_key_id, key_id_of, make_token, sha256_of
from serve.domain.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, Unauthenticated
from serve.domain.names import KeyId, ProjectName, TenantName
from serve.domain.ports import Clock
from serve.storage.key_lines import lines_of, makers_of, write_line
from serve.storage.records import Records
from serve.storage.tables import keys, projects, tenants

MAX_GRACE_SECONDS = 90 * 86_400
"""How long a rotated key may live beside the new one. Longer is no rotation."""
_NO_KEY = "No API key was given. Send the header `Authorization: Bearer slw_...`; `slipway keys create` makes a key."
_BAD_KEY = (
    "This API key is not valid: it is unknown, expired or revoked. Check that it was copied whole, "
    "or ask for a new one (`slipway keys create`)."
)
_ADMIN = KeyId("admin-secret")
"""The family of the key that an installation's Secret holds. No key's id has a hyphen."""
_ADMIN_TITLE = "admin secret of the installation"
_NO_DIGEST = "0" * 64
"""Compared with where no key is found, so that an unknown id takes the same path as a wrong secret."""


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
            row = (await connection.execute(_with_limits(key_id))).mappings().one_or_none()
            matches = hmac.compare_digest(row["secret_sha256"] if row else _NO_DIGEST, digest)
            return await _with_makers(connection, _info(row)) if row and matches else None

    async def create(
        self,
        *,
        tenant: str,
        project: str,
        title: str,
        scopes: Iterable[Scope],
        expires_ms: int | None = None,
        models: Iterable[str] | None = None,
        limits: Limits = UNLIMITED,
        parent: Caller | None,
    ) -> tuple[KeyInfo, str]:
        """A new key and its token, which cannot be had again. `parent` None is the platform itself.

        The project is made if the tenant lacks it. A key whose parent expires, expires with it at the latest; models
        and limits that it does not name are its parent's.

        Raises:
            InvalidRequest: title, scopes, names, models, limits or expiry make no sense.
            PermissionDenied: the key would be able to do more than its parent.
            Unauthenticated: the parent was revoked, or has expired, in the meantime.
            NotFound: no such tenant.
        """
        token = make_token(self._choose)
        wanted = KeyInfo(
            token.key_id,
            TenantName(valid_name(tenant, "tenant")),
            ProjectName(valid_name(project, "project")),
            valid_title(title),
            valid_scopes(scopes),
            self._clock.now_ms(),
            self._valid_expiry(expires_ms),
            models=valid_models(models),
            limits=valid_limits(limits),
        )
        async with self._records.write() as connection:
            if parent is not None:
                wanted = await self._handed_on(connection, narrowed(wanted, parent), parent)
            await _check_tenant(connection, wanted.tenant)
            await self._insert(connection, wanted, token)
            if parent is not None:
                await write_line(connection, wanted.id, wanted.id, await _line_of(connection, parent))
        return wanted, token.text

    def _valid_expiry(self, expires_ms: int | None) -> int | None:
        if expires_ms is not None and expires_ms <= self._clock.now_ms():
            raise InvalidRequest("The key would be expired from the start; give a time to come.", param="expires_at")
        return expires_ms

    async def _handed_on(self, connection: AsyncConnection, wanted: KeyInfo, parent: Caller) -> KeyInfo:
        """`wanted` as `parent` may make it, which is what it is in the database now, not what it was when it came in.

        A check alone would do for a key. A person's role may have changed since.
        """
        wanted = replace(wanted, made_by=parent.key_id)
        if parent.user_id is not None:
            standing = await standing_of(connection, parent.user_id)
            check_attenuation(replace(parent, scopes=standing.scopes_in(parent.tenant)), wanted)
            return wanted
        check_attenuation(parent, wanted)
        row = (await connection.execute(_by_id(parent.key_id))).mappings().one_or_none()
        maker = _info(row) if row else None
        if maker is None or not maker.is_live(self._clock.now_ms()):
            raise Unauthenticated(_BAD_KEY)
        return bounded_by(wanted, maker)

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
            "models": None if info.models is None else list(info.models),
            "limits": info.limits.row(),
            "made_by": info.made_by,
            "family": info.family,
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

    async def live(self, key_id: str) -> KeyInfo | None:
        """A key that opens something now, with the limits around it; None for any other."""
        async with self._records.read() as connection:
            row = (await connection.execute(_with_limits(key_id))).mappings().one_or_none()
            info = await _with_makers(connection, _info(row)) if row else None
        return info if info is not None and info.is_live(self._clock.now_ms()) else None

    async def revoke(self, tenant: str, key_id: str, by: Caller | None = None, *, made_keys: bool = False) -> None:
        """End a key, at once here and within `cache_seconds` in other processes. Revoking it again is no error.

        `by` may end what it could have made; None is the platform itself. With `made_keys`, what the key made ends,
        and what that made: where somebody else had the key, these are in the same hands.

        Raises:
            NotFound: no such key in this tenant, or another's project.
            PermissionDenied: the key has scopes that `by` lacks.
        """
        async with self._records.write() as connection:
            row = await self._owned(connection, tenant, key_id, by)
            if by is not None:
                check_power_over(by, row)
            live = keys.c.id == row.id, keys.c.revoked_ms.is_(None)
            await connection.execute(update(keys).where(*live).values(revoked_ms=self._clock.now_ms()))
            made = await end_made_keys(connection, row.id, self._clock.now_ms()) if made_keys else []
        for ended in (row.id, *made):
            self._cache.forget(ended)

    async def rotate(self, tenant: str, key_id: str, grace_seconds: float, by: Caller) -> tuple[KeyInfo, str]:
        """A new key with all that the old one may do, and its token; the old one ends after the grace period.

        Raises:
            NotFound: no such key in this tenant, or another's project.
            PermissionDenied: `by` could not have made the key.
            Conflict: the key is revoked, expired, or rotated already.
        """
        if not 0 <= grace_seconds <= MAX_GRACE_SECONDS:
            raise InvalidRequest(f"grace_seconds is 0 to {MAX_GRACE_SECONDS}, 90 days.", param="grace_seconds")
        token, now_ms = make_token(self._choose), self._clock.now_ms()
        async with self._records.write() as connection:
            old = await self._owned(connection, tenant, key_id, by, locks=True)
            fresh = replace(old, id=token.key_id, created_ms=now_ms, replaced_by=None, family=old.family or old.id)
            made = await self._handed_on(connection, fresh, by)
            if made.expires_ms != old.expires_ms:
                raise PermissionDenied("Your key ends before this one does, and cannot make another like it.")
            await self._replace(connection, old, made, now_ms + round(grace_seconds * 1000))
            await self._insert(connection, made, token)
            line = (await lines_of(connection, [old.id]))[old.id] | await _line_of(connection, by)
            await write_line(connection, made.id, fresh.family or old.id, line)
        self._cache.forget(old.id)
        return made, token.text

    async def _replace(self, connection: AsyncConnection, old: KeyInfo, new: KeyInfo, ends_ms: int) -> None:
        # The conditions are in the statement: of two rotations at once, PostgreSQL lets one see the other's.
        live = keys.c.id == old.id, keys.c.revoked_ms.is_(None), keys.c.replaced_by.is_(None)
        ends_ms = ends_ms if old.expires_ms is None else min(ends_ms, old.expires_ms)
        change = update(keys).where(*live).values(replaced_by=new.id, expires_ms=ends_ms)
        if not old.is_live(self._clock.now_ms()) or (await connection.execute(change)).rowcount != 1:
            raise Conflict("This key is revoked, expired, or rotated already; make a new one.", "key_not_live")

    async def _owned(
        self, connection: AsyncConnection, tenant: str, key_id: str, by: Caller | None, *, locks: bool = False
    ) -> KeyInfo:
        """The key, if `by` may see it. `locks`: of changes at once, each sees what the one before made of it."""
        row = None
        if is_key_id(key_id):
            query = _by_id(key_id).where(keys.c.tenant == tenant)
            found = await connection.execute(query.with_for_update() if locks else query)
            row = found.mappings().one_or_none()
        if row is None:
            raise _unknown(key_id)
        info = _info(row)
        if by is not None and not _reaches(by, info):
            raise _unknown(key_id)
        return info

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

    async def ensure_admin(self, token: Token) -> bool:
        """Make `token` the installation's key, with every scope; the one that was it before ends. Whether it opens
        anything now: one that somebody has revoked stays so."""
        now_ms = self._clock.now_ms()
        made = KeyInfo(token.key_id, DEFAULT_TENANT, DEFAULT_PROJECT, _ADMIN_TITLE, ALL_SCOPES, now_ms, family=_ADMIN)
        others = keys.c.family == _ADMIN, keys.c.id != token.key_id, keys.c.revoked_ms.is_(None)
        async with self._records.write() as connection:
            await Tenants(self._records, self._clock).ensure(connection, DEFAULT_TENANT)
            await connection.execute(select(tenants).where(tenants.c.name == DEFAULT_TENANT).with_for_update())
            await connection.execute(update(keys).where(*others).values(revoked_ms=now_ms))
            row = (await connection.execute(_by_id(token.key_id))).mappings().one_or_none()
            if row is None:
                await self._insert(connection, made, token)
                return True
        return hmac.compare_digest(row["secret_sha256"], token.sha256) and _info(row).is_live(now_ms)


def _reaches(by: Caller, key: KeyInfo) -> bool:
    return by.is_admin or (by.tenant == key.tenant and (by.project == key.project or by.reaches_tenant))


def _unknown(key_id: str) -> NotFound:
    return NotFound(f"There is no key {key_id[:80]!r}. `slipway get keys` lists them.")


async def _check_tenant(connection: AsyncConnection, tenant: str) -> None:
    if (await connection.execute(select(tenants.c.name).where(tenants.c.name == tenant))).first() is None:
        raise NotFound(f"There is no tenant {tenant!r}. Make it first (POST /v1/admin/tenants).", param="tenant")


async def _line_of(connection: AsyncConnection, maker: Caller) -> frozenset[str]:
    """The families that bind what `maker` makes: none where a person does."""
    if maker.user_id is not None:
        return frozenset()
    return (await lines_of(connection, [maker.key_id]))[maker.key_id]


async def _with_makers(connection: AsyncConnection, info: KeyInfo) -> KeyInfo:
    makers = await makers_of(connection, info.id) if info.made_by is not None else ()
    return replace(info, makers=tuple((KeyId(maker), limits_from(limits)) for maker, limits in makers))


def _by_id(key_id: str) -> Select[tuple[object, ...]]:
    return select(keys).where(keys.c.id == key_id)


def _with_limits(key_id: str) -> Select[tuple[object, ...]]:
    of_project = and_(projects.c.tenant == keys.c.tenant, projects.c.name == keys.c.project)
    around = keys.outerjoin(tenants, tenants.c.name == keys.c.tenant).outerjoin(projects, of_project)
    limits = tenants.c.limits.label("tenant_limits"), projects.c.limits.label("project_limits")
    return select(keys, *limits).select_from(around).where(keys.c.id == key_id)


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
        None if row["models"] is None else tuple(row["models"]),
        limits_from(row["limits"]),
        row["replaced_by"],
        row["made_by"],
        row["family"],
        (),
        limits_from(row.get("project_limits")),
        limits_from(row.get("tenant_limits")),
    )
