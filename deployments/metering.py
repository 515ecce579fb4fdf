"""The metering of one process of this installation, over the ledger's application."""

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from deployments.books import RayBooks
from serve.clock import SystemClock, Uuid7Ids
from serve.metering.process import ProcessMetering
from serve.settings import Settings


def open_replica_metering(
    settings: Settings, model: str, num_gpus: float, counters: Callable[[], Mapping[str, float]]
) -> ProcessMetering:
    """Of a replica of `model`, whose engine counts itself in `counters`; not yet started."""
    return ProcessMetering(
        settings.metering,
        journal_dir(settings),
        _named(model),
        SystemClock(),
        Uuid7Ids(),
        RayBooks(),
        model=model,
        num_gpus=num_gpus,
        usage=True,
        witness=False,
        counters=counters,
    )


def open_witness_metering(settings: Settings, kind: str) -> ProcessMetering:
    """Of a process that sends calls to replicas, a "gateway" or a "runner"; not yet started."""
    return ProcessMetering(
        settings.metering,
        journal_dir(settings),
        _named(kind),
        SystemClock(),
        Uuid7Ids(),
        RayBooks(),
        usage=False,
        witness=True,
    )


def journal_dir(settings: Settings) -> Path:
    """Where the processes of a node keep their journals."""
    return settings.metering.journal_dir or settings.storage.state_dir / "journals"


def _named(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(4)}"
