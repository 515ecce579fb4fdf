"""What the root says where the page was not built: the platform runs, and how to get the page."""

from importlib.metadata import version

import orjson
from starlette.responses import HTMLResponse, Response

from serve.gateway.page.policy import PAGE_HEADERS

_HOW = "The web app is not built here. `make ui` builds it; that needs Node 20.19 or later."
_HTML = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Slipway</title></head>
<body>
<h1>Slipway runs</h1>
<p>The web app is not built here. <code>make ui</code> builds it, on a machine with Node 20.19 or later; a platform
that runs shows it at the next reload.</p>
<p>The API needs none of it: <a href="/docs">its reference</a>.</p>
</body>
</html>
"""


def absent_answer(accept: str) -> Response:
    """A few words for people, the same as JSON for programs."""
    headers = PAGE_HEADERS | {"cache-control": "no-cache", "vary": "accept"}
    if "text/html" in accept:
        return HTMLResponse(_HTML, 200, headers)
    told = {"name": "Slipway", "version": version("slipway-serve"), "docs": "/docs", "page": _HOW}
    return Response(orjson.dumps(told), 200, headers, "application/json")
