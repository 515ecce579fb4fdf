"""The API's reference page, with every byte of it from this server: a closed network has no CDN."""

from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PAGE = "/docs"
FILES = "/docs/static"


def add_docs(app: FastAPI) -> None:
    """Serve Swagger UI at /docs; its files come with the package `fastapi-offline`."""
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        return
    app.mount(FILES, StaticFiles(directory=Path(spec.origin).parent / "static"), name="docs")

    app.add_route(PAGE, _page, include_in_schema=False)


async def _page(request: Request) -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Slipway",
        swagger_js_url=f"{FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{FILES}/swagger-ui.css",
        swagger_favicon_url=f"{FILES}/favicon.png",
    )
    # It can send requests with the session of whoever looks at it: not from within another site.
    page.headers["x-frame-options"] = "DENY"
    return page
