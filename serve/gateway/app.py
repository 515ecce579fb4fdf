"""The HTTP application, made from services: nothing here knows where they come from."""

import asyncio
from pathlib import Path

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from serve.gateway.access import Access
from serve.gateway.adapters import AdapterLookup
from serve.gateway.admission import Admission
from serve.gateway.bodies import BodyLimit
from serve.gateway.body_budget import BodyBudget
from serve.gateway.docs import add_docs
from serve.gateway.errors import on_framework_error
from serve.gateway.image_inputs import ImageInputs
from serve.gateway.observation import Observation
from serve.gateway.openai.requests import Requests
from serve.gateway.openapi import document_of
from serve.gateway.page.files import DIST
from serve.gateway.page.serving import Page
from serve.gateway.platform_metrics import PlatformMetrics
from serve.gateway.routes import (
    adapter_documents,
    adapters,
    admin,
    assets,
    budgets,
    catalog,
    health,
    images,
    keys,
    login,
    me,
    members,
    openai,
    prices,
    runs,
    served,
    sign_in,
    site,
    tenants,
    usage,
    usage_audit,
    workflow_documents,
    workflow_imports,
    workflow_runs,
    workflow_versions,
    workflows,
)
from serve.gateway.services import Services
from serve.gateway.tenant_places import TenantPlaces

_ROUTERS = (
    openai.router,
    images.router,
    runs.router,
    prices.router,
    catalog.router,
    assets.router,
    adapters.router,
    workflow_runs.router,
    workflow_imports.router,
    workflows.router,
    workflow_versions.router,
    keys.router,
    adapter_documents.router,
    workflow_documents.router,
    admin.router,
    served.router,
    me.router,
    site.router,
    sign_in.router,
    members.router,
    tenants.router,
    usage.router,
    usage_audit.router,
    budgets.router,
    login.router,
    health.router,
)
"""In the order they are tried: the hot path first."""
_NUM_UPLOADS_PER_TENANT = 4
"""Adapters that one tenant sends or has fetched at the same time: each may take gigabytes of this machine's disk."""
_UPLOAD_WAIT_SECONDS = 30.0


def create_app(services: Services, page: Path = DIST) -> FastAPI:
    """The gateway over `services`; `page` is where the built web app is, if it is."""
    app = FastAPI(
        title="Slipway",
        version="1",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Observation, services=services),
            Middleware(Page, folder=page),
            Middleware(Access, services=services),
            Middleware(BodyLimit, services=services, budget=BodyBudget(services)),
        ],
        exception_handlers={HTTPException: on_framework_error, RequestValidationError: on_framework_error},
    )
    app.state.services = services
    app.state.requests = Requests()
    app.state.adapters = AdapterLookup(services)
    app.state.admission = Admission(services)
    app.state.image_inputs = ImageInputs(services)
    app.state.platform_metrics = PlatformMetrics(services)
    app.state.uploads = TenantPlaces(_NUM_UPLOADS_PER_TENANT, _UPLOAD_WAIT_SECONDS)
    app.state.applying = asyncio.Lock()
    for router in _ROUTERS:
        app.include_router(router)
    add_docs(app)
    app.openapi = lambda: document_of(app)  # type: ignore[method-assign]  # how FastAPI has it replaced
    return app
