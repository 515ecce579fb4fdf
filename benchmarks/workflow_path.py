"""The full path of a workflow's run: from the request to the last event, over HTTP, a runner and SQLite.

Part of `python -m benchmarks.workflows`. One gateway and one runner, each a process; runs are asked for with
`Accept: text/event-stream`, so a run's time ends when its client has the last event.
"""

import argparse
import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from benchmarks.figures import compared, figure, orders, percentile, ratio
from benchmarks.load import Block, Exchange, LoadFailed, Target, run_block
from benchmarks.workflow_graphs import SHAPES, layered, with_other_leaf
from benchmarks.workflow_platform import GATEWAY, PLAIN, RUNNER, Platform
from benchmarks.workflow_trouble import canceled_ms, failed_ms, publish_trouble
from serve.domain.moments import at

NUM_CLIENTS = (1, 8, 32)
_CLIENTS_SIZE, _MEMORY_SIZE = 100, 30
_EVENTS = "text/event-stream"
_fresh = itertools.count(1)
logger = logging.getLogger(__name__)
median = percentile(50)
Samples = dict[str, list[list[float]]]
"""By what was measured, and by round."""


@dataclass(slots=True)
class Bench:
    """The servers, and a client of ours beside the measured ones."""

    platform: Platform
    ours: Target
    plain: Target
    client: httpx.AsyncClient
    options: argparse.Namespace

    def request(self, name: str, value: int) -> bytes:
        """A run, with its events as the answer."""
        return self.ours.post(f"/v1/workflows/{name}/runs", {"input": {"x": value}}, _EVENTS)

    async def publish(self, name: str, document: Mapping[str, Any]) -> None:
        """The first version of a workflow."""
        (await self.client.put(f"/v1/workflows/{name}/draft", json=document)).raise_for_status()
        (await self.client.post(f"/v1/workflows/{name}/versions", json={})).raise_for_status()

    async def stages(self, exchange: Exchange, sent_at: float) -> list[float]:
        """Milliseconds until the run was written down, until it was claimed, until its end was written, and until its
        client had that."""
        run = (await self.client.get(f"/v1/runs/{_run_id(exchange)}")).json()
        moments = [at_ms(run[name]) for name in ("created_at", "started_at", "finished_at")]
        ended_ms = sent_at + (exchange.ended - exchange.sent) * 1e3
        return [after - before for before, after in itertools.pairwise([sent_at, *moments, ended_ms])]
