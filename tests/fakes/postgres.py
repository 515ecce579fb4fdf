"""A real PostgreSQL server for the length of a test session, with a new database for each test that asks."""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from fakes.processes import free_ports, is_listening, server

_DATABASE_NUMBERS = count(1)


def find_binaries() -> Path | None:
    """The folder that holds `initdb` and `postgres`, newest version first, or None."""
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        return Path(on_path).parent
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


def _owner() -> int | None:
    """The user to run as: PostgreSQL refuses root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


@contextlib.contextmanager
def running(binaries: Path) -> Iterator[int]:
    """A server with its data in a temporary folder; yields its port. Fast rather than safe: fsync is off."""
    with tempfile.TemporaryDirectory(prefix="slipway-postgres-", ignore_cleanup_errors=True) as folder:
        owner, data, (port,) = _owner(), Path(folder) / "data", free_ports(1)
        os.chmod(folder, 0o755)
        data.mkdir(mode=0o700)
        if owner is not None:
            os.chown(data, owner, owner)
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "slipway", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"],
            check=True,
            capture_output=True,
            user=owner,
            group=owner,
            cwd="/",
        )
        options = [f"-p{port}", "-h127.0.0.1", "-k", "", "-F"]
        command = [str(binaries / "postgres"), "-D", str(data), *options]
        with server(command, Path(folder) / "log", lambda: is_listening(port), user=owner):
            yield port


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    """The port of the session's PostgreSQL server."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries on this machine (initdb, postgres)")
    with running(binaries) as port:
        yield port


@pytest.fixture
async def postgres_url(postgres_port: int) -> AsyncIterator[str]:
    """The SQLAlchemy URL of an empty database that is this test's own."""
    name = f"test_{next(_DATABASE_NUMBERS)}"
    await _administer(postgres_port, f"CREATE DATABASE {name}")
    yield f"postgresql+asyncpg://slipway@127.0.0.1:{postgres_port}/{name}"
    await _administer(postgres_port, f"DROP DATABASE {name} WITH (FORCE)")


async def _administer(port: int, statement: str) -> None:
    connection = await asyncpg.connect(host="127.0.0.1", port=port, user="slipway", database="postgres")
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
