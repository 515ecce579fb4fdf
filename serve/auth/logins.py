"""Logins on their way: begun here, gone to the provider, not yet back.

A login belongs to the browser that began it: its row is found by the state that comes back and by a secret in a cookie
of that browser, together. So nobody can have another's browser finish a login that was begun elsewhere (login CSRF),
and each is finished once.
"""

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import delete, select

from serve.auth.oidc import Asked
from serve.auth.tokens import sha256_of
from serve.domain.errors import InvalidRequest, Unauthenticated
from serve.domain.ports import Clock
from serve.storage.records import Records
from serve.storage.tables import logins

LOGIN_SECONDS = 600
"""How long somebody may take at the provider: second factors are slow."""
MAX_LOGINS = 10_000
"""Begun at the same time. Anybody may begin one, so beyond this the oldest are forgotten."""
MAX_PATH_CHARS = 400
_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")
"""A path of this origin: browsers read // and /\\ as another host's, and drop tabs and line ends first."""
_RANDOM_TEXT = re.compile(r"[A-Za-z0-9_-]{43}")


def random_text() -> str:
    """256 unpredictable bits in 43 characters of a URL."""
    return secrets.token_urlsafe(32)


def is_random_text(text: str) -> bool:
    """Whether `text` can be one of ours. What cannot is not looked for."""
    return _RANDOM_TEXT.fullmatch(text) is not None


def valid_return_to(path: str) -> str:
    """`path`, if it is one of this origin. Raises InvalidRequest about `return_to`."""
    if len(path) > MAX_PATH_CHARS or not _PATH.fullmatch(path):
        raise InvalidRequest(
            f"return_to is a path of this address, as /usage, with at most {MAX_PATH_CHARS} characters.",
            "invalid_return_to",
            "return_to",
        )
    return path


@dataclass(frozen=True, slots=True)
class Begun:
    """A login that came back, and where its person wanted to go."""

    asked: Asked
    return_to: str


class Logins:
    """The rows. `choose` gives 43 unpredictable characters."""

    def __init__(self, records: Records, clock: Clock, choose: Callable[[], str] = random_text) -> None:
        self._records = records
        self._clock = clock
        self._choose = choose

    async def begin(self, browser: str, return_to: str) -> Asked:
        """A new login of the browser that holds the secret `browser`. Raises InvalidRequest for `return_to`."""
        asked = Asked(self._choose(), self._choose(), self._choose())
        now_ms = self._clock.now_ms()
        row = {
            "state_sha256": _digest(asked.state, browser),
            "nonce": asked.nonce,
            "verifier": asked.verifier,
            "return_to": valid_return_to(return_to),
            "expires_ms": now_ms + LOGIN_SECONDS * 1000,
        }
        newest = select(logins.c.expires_ms).order_by(logins.c.expires_ms.desc()).offset(MAX_LOGINS).limit(1)
        async with self._records.write() as connection:
            await connection.execute(logins.insert().values(row))
            oldest_ms = await connection.scalar(newest) or 0
            await connection.execute(delete(logins).where(logins.c.expires_ms <= max(now_ms, oldest_ms)))
        return asked

    async def take(self, state: str, browser: str) -> Begun:
        """The login that this browser began with this state; it is gone afterwards. Raises Unauthenticated."""
        row = None
        if is_random_text(state) and is_random_text(browser):
            this = logins.c.state_sha256 == _digest(state, browser)
            async with self._records.write() as connection:
                taken = await connection.execute(delete(logins).where(this).returning(*logins.c))
                row = taken.mappings().one_or_none()
        if row is None or row["expires_ms"] <= self._clock.now_ms():
            raise Unauthenticated(
                "This login was not begun in this browser, took too long, or is finished already. Begin again at "
                "/login.",
                "login_not_begun",
            )
        return Begun(Asked(state, row["nonce"], row["verifier"]), row["return_to"])


def _digest(state: str, browser: str) -> str:
    return sha256_of(f"{state}.{browser}")
