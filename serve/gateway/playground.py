"""The playground: models whose cards allow it are called without a key, by the tenant `anonymous`.

What such a caller may do is listed here, and everything else answers as it always does without a key:

    call        models of the playground, in every way; with pictures in the request, not by address
    look        the catalogue, as far as it is the playground's; what a call would cost, without pictures in it
    runs        one by its id, which nobody can guess: read, follow, cancel. Never a list; all callers are one tenant
    assets      one by its id, to see what a run made. No list, no upload, no deletion
    not         webhooks, and the words of other people: an Idempotency-Key means something within one client only

How much they may ask for is the affair of `serve.gateway.admission`.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from starlette.types import Scope as AsgiScope

from serve.auth.access import Caller, Scope
from serve.auth.tenants import DEFAULT_PROJECT
from serve.catalog.cards import Card
from serve.domain.errors import InvalidRequest, NotFound, PermissionDenied, Unauthenticated
from serve.domain.images import IMAGE_FIELDS
from serve.domain.names import KeyId, TenantName
from serve.domain.task import Task
from serve.gateway.client_addresses import Client, client_of, peer_word
from serve.gateway.exchange import Exchange
from serve.gateway.model_access import check_model
from serve.gateway.services import Services

ANONYMOUS = TenantName("anonymous")
ANONYMOUS_KEY = KeyId("anonymous")
_CALLER = Caller(ANONYMOUS, DEFAULT_PROJECT, ANONYMOUS_KEY, frozenset({Scope.INFERENCE, Scope.READ}))
_OPEN = {
    "POST": re.compile(
        r"/v1/(chat/completions|completions|embeddings|images/generations|images/edits|models/[^/:]+(:.+)?/(runs|plan)"
        r"|runs/[^/]+/cancel)"
    ),
    "GET": re.compile(r"/v1/(models(/[^/:]+(:.+)?)?|catalog(/[^/]+)?|runs/[^/]+(/events)?|assets/[^/]+(/content)?)"),
    "HEAD": re.compile(r"/v1/assets/[^/]+/content"),
}
_SHARE = 4
"""Callers without a key hold at most one part in so many of the places that a tenant has."""


class Playground:
    """Lets requests without a key in; one per gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        token = services.settings.ray.token.get_secret_value()
        self._word = peer_word(token) if token else None

    @property
    def max_in_flight(self) -> int:
        """Requests without a key that one gateway holds open."""
        return max(1, self._services.settings.gateway.max_in_flight_per_tenant // _SHARE)

    @property
    def max_in_flight_of_client(self) -> int:
        """Of these, what one client holds: whoever only listens would have them all for nothing."""
        return max(1, self.max_in_flight // _SHARE)

    async def caller(self, scope: AsgiScope, exchange: Exchange) -> Caller | None:
        """The caller of a request without a key, where it needs none; its client is noted in `exchange`."""
        if not _is_open(scope) or not await self.is_open():
            return None
        exchange.client = self.client(scope)
        return _CALLER

    async def is_open(self) -> bool:
        """Whether there is anything that needs no key."""
        if not self._services.settings.anonymous.enabled:
            return False
        return any(map(_is_shown, (await self._services.catalog.cards()).values()))

    def client(self, scope: AsgiScope) -> Client:
        """Whom a request without a key counts for."""
        return client_of(scope, self._services.settings.anonymous.trusted_proxies, self._word)


async def prepare(services: Services) -> None:
    """Have the tenant of callers without a key, so that it can be given a budget."""
    if services.settings.anonymous.enabled:
        async with services.records.write() as connection:
            await services.tenants.ensure(connection, ANONYMOUS)


def _is_open(scope: AsgiScope) -> bool:
    paths = _OPEN.get(scope["method"])
    return paths is not None and paths.fullmatch(scope["path"]) is not None


def _is_shown(card: Card) -> bool:
    return card.document.spec.card.playground


def is_anonymous(caller: Caller) -> bool:
    """Whether the caller has no key."""
    return caller.key_id == ANONYMOUS_KEY


async def card_for(services: Services, caller: Caller, model: str) -> Card:
    """The card of a model that the caller may know of.

    Raises:
        NotFound.
        PermissionDenied: `model_not_allowed`.
        Unauthenticated: without a key, the same for unknown models and for those outside the playground.
    """
    if not is_anonymous(caller):
        check_model(caller, model)
        return await services.catalog.card(model)
    try:
        card = await services.catalog.card(model)
    except NotFound:
        card = None
    if card is None or not _is_shown(card):
        raise Unauthenticated(
            "This model asks for an API key: send the header `Authorization: Bearer slw_...`. GET /v1/models lists "
            "those that do not.",
            "missing_api_key",
        )
    return card


def shown_to(caller: Caller, cards: Mapping[str, Card]) -> Mapping[str, Card]:
    """The cards that the caller may know of."""
    if not is_anonymous(caller):
        return cards if caller.models is None else {name: cards[name] for name in cards if caller.may_use(name)}
    return {name: card for name, card in cards.items() if _is_shown(card)}


def check_run(caller: Caller, task: Task, inputs: Mapping[str, Any], has_webhook: bool) -> None:
    """Raises for what only callers with a key may ask of us: to write or read at an address that they name."""
    if not is_anonymous(caller):
        return
    if has_webhook:
        raise PermissionDenied("Webhooks need an API key.", "permission_denied", "webhook")
    for field in IMAGE_FIELDS.get(task, {}):
        if str(inputs.get(field) or "").lower().startswith(("http:", "https:")):
            raise InvalidRequest(
                f"{field}: pictures are fetched for callers with an API key only. Send it as a data: URL.",
                "forbidden_address",
                field,
            )


def check_plan(caller: Caller, task: Task, inputs: Mapping[str, Any]) -> None:
    """Raises for what only callers with a key may have planned: reading pictures is work, and a plan counts for no
    limit."""
    for field in IMAGE_FIELDS.get(task, {}):
        if is_anonymous(caller) and inputs.get(field) is not None:
            raise PermissionDenied("Plans with pictures need an API key.", "permission_denied", f"input.{field}")


def own_key(client: Client | None, idempotency_key: str | None) -> str | None:
    """An Idempotency-Key as it is stored. Callers without a key are one tenant: what one of them calls `1` must not
    be another's run."""
    if client is None or idempotency_key is None:
        return idempotency_key
    return hashlib.sha256(f"{client.name} {idempotency_key}".encode()).hexdigest()
