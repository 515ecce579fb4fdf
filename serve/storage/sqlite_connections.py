"""SQLite's connections that are open: one thread each, all of them ended when the records are closed.

A task that is canceled twice, as servers do it when a client leaves, abandons the connection that it was opening or
giving back: SQLAlchemy closes it in a task that nobody waits for, and the event loop may end before that one does.
"""

import asyncio
from typing import Any

import aiosqlite

_LOOK_SECONDS = 0.001
"""Between looks at a thread that is about to end: joining it would take another thread."""


class SqliteConnections:
    """Opens connections, and remembers them until their threads have ended."""

    def __init__(self) -> None:
        self._opened: set[aiosqlite.Connection] = set()

    def open(self, *arguments: Any, **options: Any) -> aiosqlite.Connection:
        """A connection to be awaited: SQLAlchemy's `async_creator_fn`, with `sqlite3.connect`'s arguments."""
        self._opened -= {connection for connection in self._opened if _has_ended(connection)}
        connection = aiosqlite.connect(*arguments, **options)
        connection._thread.daemon = True  # as SQLAlchemy has it: a process that forgot one can still end
        self._opened.add(connection)
        return connection

    async def close(self) -> None:
        """End every thread, after what it is at."""
        opened, self._opened = self._opened, set()
        for connection in opened:
            if connection._thread.is_alive():
                connection.stop()
            while connection._thread.is_alive():
                await asyncio.sleep(_LOOK_SECONDS)


def _has_ended(connection: aiosqlite.Connection) -> bool:
    return connection._thread.ident is not None and not connection._thread.is_alive()
