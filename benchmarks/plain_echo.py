"""The least that could serve the echo engine: uvicorn, Starlette, the engine in the same process, OpenAI's chat shapes.

What Slipway adds to this is what it does besides: keys, validation, the catalogue, metrics, processes that fail apart.
"""

import argparse
import time
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.echo_models import ECHO_MODELS
from deployments.engines.echo import EchoEngine
from serve.domain.documents import EchoEngine as EchoSpec
from serve.domain.folds import Answer
from serve.domain.generation import CallContext, ModelCall
from serve.domain.names import KeyId, ProjectName, RequestId, TenantName
from serve.domain.task import Task
from serve.gateway.openai.chat import ANSWER_OBJECT, CHUNK_OBJECT, ChatChunks, whole_chat
from serve.gateway.openai.frames import DONE, Head

_CONTEXT = CallContext(RequestId("-"), TenantName("-"), ProjectName("-"), KeyId("-"))
_OURS = ("model", "stream", "stream_options")
"""Fields of the body that the engine is not told."""


def app() -> Starlette:
    """The whole server."""
    engines = {d.name: EchoEngine(d.spec.engine) for d in ECHO_MODELS if isinstance(d.spec.engine, EchoSpec)}

    async def chat(request: Request) -> Response:
        body = orjson.loads(await request.body())
        engine, is_streamed = engines[body["model"]], bool(body.get("stream"))
        inputs = {name: value for name, value in body.items() if name not in _OURS}
        call = ModelCall(Task.CHAT, inputs, _CONTEXT, (), is_streamed)
        if is_streamed:
            return StreamingResponse(_stream(engine, call, _head(body, CHUNK_OBJECT)), media_type="text/event-stream")
        answer = Answer()
        async for batch in engine.stream(call):
            answer.add(batch)
        whole = whole_chat(_head(body, ANSWER_OBJECT), answer)
        return Response(orjson.dumps(whole), media_type="application/json")

    async def health(request: Request) -> Response:
        return Response()

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"]), Route("/health", health)])


def _head(body: dict[str, Any], kind: str) -> Head:
    return Head("chatcmpl-0", kind, int(time.time()), body["model"], "echo")


async def _stream(engine: EchoEngine, call: ModelCall, head: Head) -> AsyncGenerator[bytes, None]:
    chunks = ChatChunks(head, include_usage=True)
    async for batch in engine.stream(call):
        yield b"".join(map(chunks.write, batch))
    yield DONE


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    uvicorn.run(app(), host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
