"""The ledger as processes with a journal reach it: `Books` over a Ray Serve handle."""

import asyncio

import ray
from ray import serve as ray_serve
from ray.serve.handle import DeploymentHandle

from serve.domain.errors import MeteringUnavailable
from serve.domain.usage import Receipt, UsageBatch
from serve.serving.serve_config import LEDGER_APP, LEDGER_DEPLOYMENT

_TIMEOUT_SECONDS = 30.0
"""Far more than a transaction takes: a ledger that died with the batch in its hands is not waited for longer."""


class RayBooks:
    """The ledger's application. It may be away at any time: whoever ships sends again, and nothing is booked twice."""

    def __init__(self) -> None:
        self._handle: DeploymentHandle[object] | None = None

    async def book(self, batch: UsageBatch) -> Receipt:
        """See `serve.metering.journal.shipping.Books`. Raises whatever is wrong with Ray or with the ledger."""
        if not ray.is_initialized():
            raise MeteringUnavailable("There is no ledger outside Ray; what it must know waits in the journal.")
        if self._handle is None:
            self._handle = ray_serve.get_deployment_handle(LEDGER_DEPLOYMENT, LEDGER_APP, _check_exists=False)
        response = self._handle.book.remote(batch)
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                receipt: Receipt = await response
        except BaseException:
            response.cancel()  # type: ignore[no-untyped-call]  # Ray's
            raise
        return receipt
