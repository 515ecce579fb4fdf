"""One request and its answer: what the middleware knows and the routes ask for."""

from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from starlette.types import Scope as AsgiScope

from serve.auth.access import Caller
from serve.auth.sessions import Session
from serve.domain.generation import CallContext
from serve.domain.names import RequestId
from serve.domain.usage import Quantities
from serve.gateway.client_addresses import Client

_KEY = "slipway.exchange"

CLIENT_CLOSED_REQUEST = 499
"""What the log and the metrics say of a client that left; nobody is there to read it (nginx's number)."""


class CallTerms(Protocol):
    """What a call was let in with (`serve.gateway.admission`)."""

    def context(self, context: CallContext) -> CallContext:
        """`context` with price, hold and all else that the call takes along."""
        ...

    def send(self) -> None:
        """From now on a model may work for the call."""
        ...

    def settle(self, quantities: Quantities | None) -> None:
        """The call has ended, and consumed this; None where nobody here knows. It is no error to say so again."""
        ...

    def close(self) -> None:
        """The request is over, whatever became of its call."""
        ...

    def cost(self, quantities: Quantities) -> int | None:
        """What `quantities` cost by the price at admission, in nano-dollars; None for an unpriced model."""
        ...


@dataclass(slots=True)
class Exchange:
    """`started` is monotonic seconds. `caller` is set once the key is checked; public paths have none.
    `session` is there for people's browsers, `client` for callers without a key, `admitted` for calls of models that
    are let in. `trace` is the traceparent of this hop. `extra_headers` go with the answer, whatever it is."""

    request_id: RequestId
    started: float
    status: int = 0
    caller: Caller | None = None
    session: Session | None = None
    trace: str | None = None
    client: Client | None = None
    admitted: CallTerms | None = None
    extra_headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def authenticated(self) -> Caller:
        """The caller of a path that is not public.

        Raises:
            RuntimeError: on a public path; a mistake of ours, never of a client.
        """
        if self.caller is None:
            raise RuntimeError("no caller: this path is public, or the access middleware is missing")
        return self.caller

    @property
    def terms(self) -> CallTerms:
        """What the call was let in with. Raises RuntimeError where there is none; a mistake of ours."""
        if self.admitted is None:
            raise RuntimeError("a model is called that nobody was admitted to")
        return self.admitted

    def cost(self, quantities: Quantities) -> int | None:
        """What `quantities` cost the caller by the price at admission; None where there is none."""
        return None if self.admitted is None else self.admitted.cost(quantities)

    def call_context(self) -> CallContext:
        """Who calls, for a model call of this request."""
        caller = self.authenticated
        context = CallContext(self.request_id, caller.tenant, caller.project, caller.key_id, trace=self.trace)
        return context if self.admitted is None else self.admitted.context(context)


def attach(scope: Any, exchange: Exchange) -> None:
    """Make `exchange` the one of this request."""
    scope[_KEY] = exchange


def exchange_of(scope: AsgiScope) -> Exchange:
    """The exchange of this request."""
    return cast(Exchange, scope[_KEY])
