"""What one would write by hand instead of a workflow: a server that runs a fixed script of asyncio and streams it.

    python -m benchmarks.plain_workflows --sizes 10,100 --port 8000

`POST /{shape}/{size}` with `{"input": {"x": 1}}` executes the graph level by level (`benchmarks.workflow_rivals`), then
sends an event for each node, and one for the end. Nobody is asked for a key; nothing is checked, written down, kept,
retried or skipped; a run ends with its process, and with its client.
"""

import argparse
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.command import numbers
from benchmarks.workflow_graphs import SHAPES, compiled
from benchmarks.workflow_rivals import levels
from serve.workflow.graph import Graph


def app(sizes: list[int]) -> Starlette:
    """The whole server."""
    graphs = {(shape, size): compiled(make(size)) for shape, make in SHAPES.items() for size in sizes}

    async def run(request: Request) -> Response:
        graph = graphs[request.path_params["shape"], request.path_params["size"]]
        given = orjson.loads(await request.body())["input"]["x"]
        return StreamingResponse(_events(graph, given), media_type="text/event-stream")

    async def health(request: Request) -> Response:
        return Response()

    return Starlette(routes=[Route("/{shape}/{size:int}", run, methods=["POST"]), Route("/health", health)])


async def _events(graph: Graph, given: Any) -> AsyncGenerator[bytes, None]:
    await levels(graph, given)
    for seq, name in enumerate(graph.nodes):
        yield b"id: %d\nevent: step\ndata: %b\n\n" % (seq, orjson.dumps({"label": name, "status": "succeeded"}))
    yield b"id: %d\nevent: succeeded\ndata: {}\n\n" % len(graph.nodes)


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--sizes", type=numbers, default=[10])
    options = parser.parse_args()
    uvicorn.run(app(options.sizes), host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
