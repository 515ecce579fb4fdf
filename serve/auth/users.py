"""People who have logged in, by the issuer and subject that their provider vouches for.

An e-mail address or a name is shown, and identifies nobody: both change hands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from serve.auth.made_keys import end_made_keys
from serve.auth.roles import Standing, standing_of, user_key_id
from serve.domain.errors import InvalidRequest, NotFound
from serve.domain.names import KeyId
from serve.domain.ports import Clock, Ids
from serve.storage.records import Records, insert_if_absent
from serve.storage.tables import users

KEY_ISSUER = "slipway:key"
"""The issuer of those who log in with a key: the subject is the key's id, and the key says what they may do."""
BY_GROUPS = "groups"
BY_HAND = "hand"
MAX_EMAIL_CHARS = 320
MAX_NAME_CHARS = 200
MAX_SUBJECT_CHARS = 255


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a provider vouches for. Issuer and subject name the person, for ever; the rest is for eyes."""

    issuer: str
    subject: str
    email: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class User:
    """A person, or a key that somebody logged in with. `admin_by` says what made an administrator: groups or hand."""

    id: str
    identity: Identity
    created_ms: int
    last_login_ms: int
    admin_by: str | None = None

    @property
    def key_id(self) -> KeyId | None:
        """The key that this is, where it is one."""
        return KeyId(self.identity.subject) if self.identity.issuer == KEY_ISSUER else None


class Users:
    """The people of this installation."""

    def __init__(self, records: Records, clock: Clock, ids: Ids) -> None:
        self._records = records
        self._clock = clock
        self._ids = ids

    async def logged_in(self, connection: AsyncConnection, identity: Identity) -> User:
        """Within the caller's transaction: the user of this identity, made by the first login."""
        now_ms = self._clock.now_ms()
        shown = {"email": _line(identity.email, MAX_EMAIL_CHARS), "name": _line(identity.name, MAX_NAME_CHARS)}
        named = {"issuer": identity.issuer, "subject": identity.subject}
        row = {"id": self._ids.new(), "created_ms": now_ms, "last_login_ms": now_ms} | named | shown
        is_same = users.c.issuer == identity.issuer, users.c.subject == identity.subject
        if not await insert_if_absent(connection, users, row, ["issuer", "subject"]):
            await connection.execute(update(users).where(*is_same).values(last_login_ms=now_ms, **shown))
        return user_from((await connection.execute(select(users).where(*is_same))).mappings().one())

    async def get(self, user_id: str) -> tuple[User, Standing]:
        """A person and what the person is. Raises NotFound."""
        async with self._records.read() as connection:
            row = (await connection.execute(_by_id(user_id))).mappings().one_or_none()
            if row is None:
                raise unknown_user(user_id)
            return user_from(row), await standing_of(connection, user_id)

    async def list(self) -> list[User]:
        """Everybody who has logged in at a provider, by e-mail address."""
        query = select(users).where(users.c.issuer != KEY_ISSUER).order_by(users.c.email, users.c.id)
        async with self._records.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [user_from(row) for row in rows]

    async def set_admin(self, user_id: str, is_admin: bool) -> User:
        """Make somebody an administrator of the installation, or no longer one. Raises NotFound, InvalidRequest.

        Who no longer is one loses the keys that the person made and that may do more than the person still may. What
        groups grant comes back with the next login.
        """
        user, _ = await self.get(user_id)
        if user.key_id is not None:
            raise InvalidRequest("This is a key, not a person; its scopes say what it may do.", param="user_id")
        async with self._records.write() as connection:
            values = {"admin_by": BY_HAND if is_admin else None}
            await connection.execute(update(users).where(users.c.id == user_id).values(**values))
            if not is_admin:
                keeps = (await standing_of(connection, user_id)).scopes_in
                await end_made_keys(connection, user_key_id(user_id), self._clock.now_ms(), keeps)
        return (await self.get(user_id))[0]


def unknown_user(user_id: str) -> NotFound:
    """The same for nobody, and for somebody of another tenant."""
    return NotFound(f"There is no member {user_id[:80]!r}. `slipway members list` lists them.", "member_not_found")


def user_from(row: Mapping[Any, Any]) -> User:
    """A user from a row of the table."""
    identity = Identity(row["issuer"], row["subject"], row["email"], row["name"])
    return User(row["id"], identity, row["created_ms"], row["last_login_ms"], row["admin_by"])


def _by_id(user_id: str) -> Any:
    # PostgreSQL refuses NUL in text, wherever it comes from.
    return select(users).where(users.c.id == user_id.replace("\x00", ""))


def _line(text: str, num_chars: int) -> str:
    return "".join(character for character in text if character.isprintable())[:num_chars]
