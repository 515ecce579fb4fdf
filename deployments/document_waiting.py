"""A replica's wait for the document that it was told of."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from serve.domain.documents import ModelDocument
from serve.domain.errors import NotFound, StorageUnavailable
from serve.domain.ports import Clock

POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Documents(Protocol):
    """Where documents are stored."""

    async def document(self, digest: str) -> ModelDocument:
        """A document by its digest. Raises NotFound."""
        ...


async def when_stored(
    documents: Documents,
    digest: str,
    clock: Clock,
    wait_seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> ModelDocument:
    """The document, asked for each second until it is there.

    Raises:
        NotFound, StorageUnavailable: it did not come within `wait_seconds`, or the database did not answer.
    """
    ends = clock.monotonic() + wait_seconds
    is_told = False
    while True:
        try:
            return await documents.document(digest)
        except (NotFound, StorageUnavailable):
            if clock.monotonic() >= ends:
                raise
        if not is_told:
            logger.info("waiting for the document %s: the operator has yet to apply it", digest)
            is_told = True
        await sleep(POLL_SECONDS)
