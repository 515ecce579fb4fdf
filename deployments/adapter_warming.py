"""Which adapters are fetched for calls that still wait for their turn: a few at a time, one tenant after the other.

A waiting call takes nothing: what it wants is loaded as far as there is room for it, so that no crowd fills the memory,
and no tenant's crowd of cold adapters keeps another's one waiting.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from serve.domain.names import TenantName

NUM_PARALLEL = 4
"""Loads for waiting calls at the same time: enough to fill a line with small files."""


@dataclass(slots=True, eq=False)
class _Want:
    """An adapter that waiting calls want. `settled` once it is here, or as near as it comes without a place."""

    num_calls: int = 0
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    tenants: set[TenantName] = field(default_factory=set)


class Warming:
    """What waiting calls want, and whose turn it is. One event loop."""

    def __init__(self, begin: Callable[[str], bool], forget: Callable[[str], None]) -> None:
        """`begin` starts to load an adapter, unless it is here or on its way; `forget`: no waiting call wants it."""
        self._begin = begin
        self._forget = forget
        self._wants: dict[str, _Want] = {}
        self._lines: dict[TenantName, dict[str, None]] = {}
        self._num_loading = 0

    def __contains__(self, adapter_id: str) -> bool:
        return adapter_id in self._wants

    @property
    def num_wanted(self) -> int:
        """Adapters that waiting calls want, here or not."""
        return len(self._wants)

    def join(self, tenant: TenantName, ids: Iterable[str], is_here: Callable[[str], bool]) -> None:
        """A call of `tenant` waits that wants `ids`."""
        for adapter_id in ids:
            want = self._wants.setdefault(adapter_id, _Want())
            want.num_calls += 1
            if is_here(adapter_id):
                want.settled.set()
            elif not want.settled.is_set():
                want.tenants.add(tenant)
                self._lines.setdefault(tenant, {})[adapter_id] = None
        self._pump()

    async def wait(self, ids: Iterable[str]) -> None:
        """Until all are settled. Only for whoever has joined."""
        for want in [self._wants[adapter_id] for adapter_id in ids]:
            await want.settled.wait()

    def leave(self, ids: Iterable[str]) -> None:
        """The call waits no longer."""
        for adapter_id in ids:
            want = self._wants[adapter_id]
            want.num_calls -= 1
            if not want.num_calls:
                del self._wants[adapter_id]
                self._unline(adapter_id, want)
                self._forget(adapter_id)

    def _unline(self, adapter_id: str, want: _Want) -> None:
        for tenant in want.tenants:
            if (line := self._lines.get(tenant)) is not None:
                line.pop(adapter_id, None)
                if not line:
                    del self._lines[tenant]

    def settle(self, adapter_id: str) -> None:
        """Loading it has ended, in whatever way."""
        if (want := self._wants.get(adapter_id)) is not None:
            want.settled.set()

    def settle_all(self) -> None:
        """Nothing will be loaded any more: who waits has its turn, and is told so."""
        for want in self._wants.values():
            want.settled.set()

    def ended(self) -> None:
        """A load that `begin` started has ended: the next may begin."""
        self._num_loading -= 1
        self._pump()

    def _pump(self) -> None:
        while self._num_loading < NUM_PARALLEL and self._lines:
            adapter_id = self._next()
            if not self._wants[adapter_id].settled.is_set() and self._begin(adapter_id):
                self._num_loading += 1

    def _next(self) -> str:
        """The first of the tenant whose turn it is, who then goes to the end."""
        tenant = next(iter(self._lines))
        line = self._lines.pop(tenant)
        adapter_id = next(iter(line))
        del line[adapter_id]
        if line:
            self._lines[tenant] = line
        return adapter_id
