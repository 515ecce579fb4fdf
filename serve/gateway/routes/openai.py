"""OpenAI's routes. A chat takes the lean path: raw body, card, one validation, call, events."""

from collections.abc import Callable
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from serve.catalog.adapters.stored import StoredAdapter
from serve.catalog.cards import Card
from serve.domain.folds import Answer
from serve.domain.generation import Event, ModelCall
from serve.domain.task import Task
from serve.gateway.access import caller_of
from serve.gateway.adapter_choices import Chosen, chosen
from serve.gateway.adapters import shown_name
from serve.gateway.addresses import addressed
from serve.gateway.bodies import read_json
from serve.gateway.calls import chunks, whole_answer
from serve.gateway.content import check_content
from serve.gateway.exchange import exchange_of
from serve.gateway.model_access import check_model
from serve.gateway.openai import chat, completions
from serve.gateway.openai.embeddings import whole_embeddings
from serve.gateway.openai.frames import Costs, Head, cost_headers
from serve.gateway.openai.requests import Asked
from serve.gateway.openai.schemas import ChatCompletion, Completion, EmbeddingList, ModelList, ModelView
from serve.gateway.playground import card_for, shown_to
from serve.gateway.routing import LeanRoute, adapters_of, admission_of, requests_of, services_of
from serve.gateway.streaming import EventStream
from serve.telemetry import logs

router = APIRouter(tags=["openai"], route_class=LeanRoute)
_STREAM = {"text/event-stream": {"schema": {"type": "string", "description": "Chunks as server-sent events."}}}
_FINGERPRINT_DIGITS = slice(7, 17)
"""Of the document's digest, which begins with `sha256:`."""


@router.post(
    "/v1/chat/completions",
    operation_id="createChatCompletion",
    responses={200: {"model": ChatCompletion, "content": _STREAM}},
)
async def create_chat_completion(request: Request) -> Response:
    """Answer a chat; with `stream: true` as server-sent events."""
    asked, call = await _read(request, Task.CHAT)
    object_name = chat.CHUNK_OBJECT if asked.stream else chat.ANSWER_OBJECT
    head, costs = _head(request, asked, chat.ID_PREFIX, object_name), _costs(request)
    if asked.stream:
        return _stream(request, asked, call, chat.ChatChunks(head, asked.include_usage, costs).write)
    return await _whole(request, asked, call, lambda answer: chat.whole_chat(head, answer, costs))


@router.post(
    "/v1/completions",
    operation_id="createCompletion",
    responses={200: {"model": Completion, "content": _STREAM}},
)
async def create_completion(request: Request) -> Response:
    """Go on with a text; with `stream: true` as server-sent events."""
    asked, call = await _read(request, Task.COMPLETION)
    head = _head(request, asked, completions.ID_PREFIX, completions.OBJECT)
    if asked.stream:
        return _stream(
            request, asked, call, completions.CompletionChunks(head, asked.include_usage, _costs(request)).write
        )
    return await _whole(
        request, asked, call, lambda answer: completions.whole_completion(head, answer, _costs(request))
    )


@router.post("/v1/embeddings", operation_id="createEmbedding", responses={200: {"model": EmbeddingList}})
async def create_embedding(request: Request) -> Response:
    """Turn texts into vectors."""
    asked, call = await _read(request, Task.EMBEDDING)
    costs = _costs(request)
    return await _whole(
        request, asked, call, lambda answer: whole_embeddings(asked.model, answer, asked.encoding_format, costs)
    )


@router.get("/v1/models", operation_id="listModels", responses={200: {"model": ModelList}})
async def list_models(request: Request) -> Response:
    """The served models, and those of the caller's adapters that they take, as `model:adapter`."""
    caller = caller_of(request, "catalog")
    reader = caller.tenant
    cards = [card for _, card in sorted(shown_to(caller, await services_of(request).catalog.cards()).items())]
    with_adapters = [card for card in cards if caller.may_use(card.name, with_adapters=True)]
    adapted = await adapters_of(request).listed(reader, with_adapters)
    views = [_model_view(card) for card in cards]
    views += [_adapter_view(address, card, adapter) for address, card, adapter in adapted]
    return _json(ModelList(data=views).model_dump())


@router.get("/v1/models/{model:path}", operation_id="getModel", responses={200: {"model": ModelView}})
async def get_model(request: Request) -> Response:
    """One served model, or one with an adapter."""
    caller = caller_of(request, "catalog")
    reader = caller.tenant
    address = addressed(request.path_params["model"])
    card = await card_for(services_of(request), caller, address.model)
    if address.adapter is None:
        return _json(_model_view(card).model_dump())
    check_model(caller, card.name, with_adapters=True)
    adapter = await adapters_of(request).address_of(reader, card, Chosen(address.adapter, None, "model"))
    shown = f"{card.name}:{shown_name(adapter, reader)}"
    return _json(_adapter_view(shown, card, adapter).model_dump())


async def _read(request: Request, task: Task) -> tuple[Asked, ModelCall]:
    services = services_of(request)
    caller = caller_of(request, "inference")
    body = await read_json(request)
    address = addressed(body.get("model"))
    card = await card_for(services, caller, address.model)
    logs.bind(model=card.name)
    asked = requests_of(request).read(body, card, task)
    check_content(card, asked.inputs)
    if services.settings.log.prompts:
        logs.bind(inputs=asked.inputs)
    uses = await adapters_of(request).uses(caller.tenant, card, chosen(address, asked.choices))
    await admission_of(request).admit(request.scope, card, task, asked.inputs, [use.id for use in uses])
    return asked, ModelCall(task, asked.inputs, exchange_of(request.scope).call_context(), uses, asked.stream)


def _head(request: Request, asked: Asked, prefix: str, object_name: str) -> Head:
    created = services_of(request).clock.now_ms() // 1000
    fingerprint = "fp_" + asked.card.digest[_FINGERPRINT_DIGITS]
    return Head(prefix + exchange_of(request.scope).request_id, object_name, created, asked.model, fingerprint)


def _stream(request: Request, asked: Asked, call: ModelCall, write: Callable[[Event], bytes]) -> Response:
    return EventStream(chunks(services_of(request), asked.model, call, exchange_of(request.scope).terms, write))


async def _whole(
    request: Request, asked: Asked, call: ModelCall, shape: Callable[[Answer], dict[str, Any]]
) -> Response:
    terms = exchange_of(request.scope).terms
    answer = await whole_answer(services_of(request), asked.model, call, terms, request.receive)
    cost = None if answer.usage is None else _costs(request)(answer.usage)
    return _json(shape(answer), cost_headers(cost))


def _costs(request: Request) -> Costs:
    """By the price that the call was admitted under."""
    return exchange_of(request.scope).cost


def _json(value: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), headers=headers, media_type="application/json")


def _model_view(card: Card) -> ModelView:
    created_ms = card.record.created_ms if card.record else 0
    return ModelView(id=card.name, created=created_ms // 1000)


def _adapter_view(address: str, card: Card, adapter: StoredAdapter) -> ModelView:
    return ModelView(id=address, created=adapter.created_ms // 1000, owned_by=adapter.tenant, parent=card.name)
