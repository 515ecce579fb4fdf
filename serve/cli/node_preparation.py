"""What a node needs before Ray starts on it: folders, HAProxy's launcher; on the head, the schema and a key.

Each step can be repeated, and two heads may do it at the same time, as they do while a cluster is replaced.
"""

import asyncio
import os
import sys
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from serve.auth.keys import Keys
from serve.auth.tokens import Token, admin_token
from serve.cli.exits import CliError, ExitCode
from serve.cli.haproxy import write_haproxy_launcher
from serve.clock import SystemClock
from serve.domain.errors import StorageUnavailable
from serve.settings import Settings
from serve.storage.records import Records

_RETRY_SECONDS = 2.0


def prepare_folders(settings: Settings) -> None:
    """Those that the platform's processes write to. Raises CliError where this user cannot."""
    storage = settings.storage
    journals = settings.metering.journal_dir or storage.state_dir / "journals"
    for folder in (storage.data_dir, storage.state_dir, storage.cache_dir, journals):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CliError(_unwritable(folder, error.strerror)) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise CliError(_unwritable(folder, "permission denied"))


def _unwritable(folder: Path, reason: str | None) -> str:
    user = f"user {os.getuid()}, group {os.getgid()}"
    return f"{folder} cannot be written by {user}: {reason}. Mount a volume there that fsGroup makes writable."


def prepare_haproxy(settings: Settings, folder: Path) -> None:
    """The script that Ray starts as HAProxy. Raises CliError without Ray's token, which it and the gateway share."""
    token = settings.ray.token.get_secret_value()
    if not token:
        raise CliError("SLIPWAY_RAY_TOKEN is not set: the gateway knows its HAProxy by it.", ExitCode.USAGE)
    try:
        launcher = write_haproxy_launcher(folder, token)
    except OSError as error:
        raise CliError(_unwritable(folder, error.strerror)) from error
    _say(f"HAProxy is started by {launcher}.")


def prepare_head(settings: Settings, admin_file: Path | None, wait_seconds: float) -> None:
    """The schema, and the key that the operator has."""
    token = None if admin_file is None else read_admin_file(admin_file)
    asyncio.run(_prepare_database(settings, token, wait_seconds))


def migrate(settings: Settings, wait_seconds: float) -> None:
    """The schema alone."""
    asyncio.run(_prepare_database(settings, None, wait_seconds))


def read_admin_file(path: Path) -> Token:
    """The admin secret as it is mounted. Raises CliError where it cannot be read or is no such thing."""
    try:
        return admin_token(path.read_text())
    except OSError as error:
        raise CliError(f"The admin secret {path} cannot be read: {error.strerror}.", ExitCode.USAGE) from error
    except ValueError as error:
        raise CliError(f"{path}: {error}.", ExitCode.USAGE) from error


async def _prepare_database(settings: Settings, token: Token | None, wait_seconds: float) -> None:
    records = Records(settings.storage.url())
    try:
        await _answers(records, wait_seconds)
        await records.migrate()
        _say("The database has this version's schema.")
        if token is not None:
            await _ensure_admin(records, token)
    finally:
        await records.close()


async def _answers(records: Records, wait_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_seconds
    while True:
        try:
            return await records.ping()
        except (StorageUnavailable, OSError, SQLAlchemyError) as error:
            reason = str(error.__cause__ or error).splitlines()[0]
        if loop.time() >= end:
            place = records.url.render_as_string(hide_password=True)
            raise CliError(f"The database {place} cannot be used: {reason}", ExitCode.UNREACHABLE)
        _say(f"The database does not answer yet: {reason}")
        await asyncio.sleep(_RETRY_SECONDS)


async def _ensure_admin(records: Records, token: Token) -> None:
    if not await Keys(records, SystemClock(), cache_seconds=0).ensure_admin(token):
        raise CliError(
            f"The key {token.key_id} of the admin secret was revoked. Put a new one into the Secret.", ExitCode.REFUSED
        )
    _say(f"The administrator's key is {token.key_id}.")


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()
