"""A real PostgreSQL server for the length of a test session, with a new database for each test that asks."""

import asyncio
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from fakes.databases import memory
from fakes.processes import free_ports, server

from serve.storage.records import Records

_DATABASE_NUMBERS = count(1)
_TEMPLATES: set[int] = set()
_PROGRAMS = ("initdb", "postgres", "psql")


@dataclass(frozen=True)
class Postgres:
    """A running server; its superuser `slipway` needs no password."""

    binaries: Path
    port: int

    def execute(self, statement: str) -> None:
        """Run one statement, as an administrator does: synchronous, so that any fixture may.

        Raises:
            RuntimeError: with what the server said.
        """
        command = [self.binaries / "psql", "-h127.0.0.1", f"-p{self.port}", "-Uslipway", "-dpostgres", "-c", statement]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{statement}: {done.stderr}")

    def is_ready(self) -> bool:
        """Whether it takes statements; it listens some time before that."""
        try:
            self.execute("SELECT 1")
        except RuntimeError:
            return False
        return True


def find_binaries() -> Path | None:
    """The folder that holds the server and `psql`, newest version first, or None."""
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    installed = sorted(
        (found.parent for found in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda folder: int(folder.parent.name),
        reverse=True,
    )
    complete = (folder for folder in on_path + installed if all((folder / name).exists() for name in _PROGRAMS))
    return next(complete, None)


def _owner() -> int | None:
    """The user to run as: PostgreSQL refuses root."""
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


@contextlib.contextmanager
def running(binaries: Path) -> Iterator[Postgres]:
    """A server with its data in a temporary folder, in memory if there is room: a new database is hundreds of files."""
    with tempfile.TemporaryDirectory(prefix="slipway-postgres-", dir=memory(), ignore_cleanup_errors=True) as folder:
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
        started = Postgres(binaries, port)
        with server(command, Path(folder) / "log", started.is_ready, user=owner):
            yield started


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The session's PostgreSQL server."""
    binaries = find_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server binaries on this machine (initdb, postgres, psql)")
    with running(binaries) as started:
        yield started


async def _migrate(url: str) -> None:
    records = Records(url)
    await records.migrate()
    await records.close()


@pytest.fixture
def migrated_postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The same with this version's tables: migrated once, and copied, which takes a tenth of the time."""
    address = f"postgresql+asyncpg://slipway@127.0.0.1:{postgres_server.port}"
    if postgres_server.port not in _TEMPLATES:
        # There may be half of one, if it was the first test's time that ran out.
        postgres_server.execute("DROP DATABASE IF EXISTS migrated WITH (FORCE)")
        postgres_server.execute("CREATE DATABASE migrated")
        with ThreadPoolExecutor(1) as elsewhere:  # the first who asks may be an async fixture, in a loop that runs
            elsewhere.submit(asyncio.run, _migrate(f"{address}/migrated")).result()
        _TEMPLATES.add(postgres_server.port)
    name = f"test_{next(_DATABASE_NUMBERS)}"
    postgres_server.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
    yield f"{address}/{name}"
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database that is this test's own."""
    name = f"test_{next(_DATABASE_NUMBERS)}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield f"postgresql+asyncpg://slipway@127.0.0.1:{postgres_server.port}/{name}"
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
