"""Databases with this version's tables, migrated once and copied; and memory to have them in."""

import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import create_engine

from serve.storage.records import upgrade

_MEMORY = Path("/dev/shm")
_MIN_FREE_BYTES = 4 * 2**30


def memory() -> str | None:
    """A folder that is memory, where there is one with room: databases wait for a disk longer than most tests run."""
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MIN_FREE_BYTES
    return str(_MEMORY) if has_room else None


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "template.db"
        engine = create_engine(f"sqlite:///{file}")
        with engine.begin() as connection:
            upgrade(connection)
        with engine.connect() as connection:
            # As Records leaves it: to change to it, one has to have the file to oneself.
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        engine.dispose()
        return file.read_bytes()


def new_sqlite(file: Path) -> str:
    """The SQLAlchemy URL of a database without rows, in `file`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_migrated())
    return f"sqlite+aiosqlite:///{file}"
