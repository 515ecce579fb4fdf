"""Adapters: upload or fetch, list, look, say something of them, download, delete.

One's own are named by themselves, others' as `tenant/name`; both may end with `@sha256:...`.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from serve.auth.access import Caller
from serve.catalog.adapters.registry import unknown_adapter
from serve.catalog.adapters.stored import StoredAdapter
from serve.domain.adapters import EVERYONE, AdapterArchitecture, AdapterReference
from serve.domain.errors import InvalidRequest, PermissionDenied
from serve.domain.names import TenantName
from serve.gateway.access import allowed
from serve.gateway.adapter_uploads import Wanted, checked, fetch_parts, receive_parts, workspace
from serve.gateway.adapter_views import (
    AdapterForm,
    AdapterView,
    AdapterWithVersions,
    AdapterWords,
    NewAdapterBody,
    adapter_view,
    adapter_with_versions,
)
from serve.gateway.addresses import adapter_reference
from serve.gateway.bodies import ADAPTERS_PATH, is_form, read_as, validated
from serve.gateway.routing import Injected, adapters_of, uploads_of
from serve.gateway.services import Services
from serve.gateway.views import Page
from serve.gateway.zip_stream import zipped

router = APIRouter(tags=["adapters"])
_CHUNK_BYTES = 2**20
_MAX_FILES = 16
_MAX_FIELDS = 320
_RESERVED = "content"
"""A word of this API's paths, so that no adapter can be called so."""
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/octet-stream": _BINARY, "application/zip": _BINARY},
        "description": "The file, or a zip of the files.",
    }
}

Writer = Annotated[Caller, Depends(allowed("adapters.write"))]
Reader = Annotated[Caller, Depends(allowed("adapters.read"))]


@router.post(
    ADAPTERS_PATH,
    operation_id="createAdapter",
    status_code=201,
    responses={
        201: {"model": AdapterView},
        200: {"model": AdapterView, "description": "These very bytes are the present version already."},
    },
)
async def create_adapter(request: Request, services: Injected, caller: Writer) -> Response:
    """Store an adapter of the tenant: from an address (JSON), or from files (a form with `file`, repeatable, or a zip).

    The files are read, never run. They become a version; the name means it from then on, and what runs keeps what it
    has. The form's `trigger_words` and `shared_with` may be repeated, or hold words between commas.
    """
    async with uploads_of(request).place(caller.tenant, "adapters"), workspace(services) as folder:
        if is_form(request.scope):
            async with request.form(max_files=_MAX_FILES, max_fields=_MAX_FIELDS) as form:
                body: AdapterForm = validated(AdapterForm, _form_fields(form))
                _check_words(caller, body)
                parts = await receive_parts(services, folder, _form_files(form))
            digest, file_param = None, "file"
        else:
            asked = await read_as(request, NewAdapterBody)
            _check_words(caller, asked)
            parts = await fetch_parts(services, folder, caller, asked.uri, "uri")
            body, digest, file_param = asked, asked.digest, "uri"
        wanted = Wanted(free_name(body.name, "name"), body.base, digest, file_param)
        new = await checked(services, folder, parts, caller.tenant, wanted)
        before = await services.adapters.find(caller.tenant, caller.tenant, body.name)
        stored, _ = await services.adapters.add(new, body.words())
    adapters_of(request).forget()
    is_same = before is not None and before.version.digest == new.digest
    return JSONResponse(adapter_view(stored, caller).model_dump(mode="json"), 200 if is_same else 201)


def _form_fields(form: FormData) -> dict[str, Any]:
    """The text fields: lists may be repeated, or hold words between commas; an empty field is an absent one."""
    found: dict[str, Any] = {}
    for name, value in form.multi_items():
        if not isinstance(value, str) or not value.strip():
            continue
        if name in ("trigger_words", "shared_with"):
            found.setdefault(name, []).extend(word.strip() for word in value.split(",") if word.strip())
        elif name in found:
            raise InvalidRequest(f"{name} is given twice.", "too_many_values", name)
        else:
            found[name] = _number(value) if name == "default_scale" else value
    return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _form_files(form: FormData) -> dict[str, AsyncGenerator[bytes, None]]:
    files: dict[str, AsyncGenerator[bytes, None]] = {}
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            continue
        if name.removesuffix("[]") != "file":
            raise InvalidRequest(f"{name[:80]} takes no file: files are sent as `file`.", "invalid_type", name[:80])
        called = value.filename or "file"
        if called in files:
            raise InvalidRequest(f"Two files are called {called[:80]!r}.", "too_many_values", "file")
        files[called] = _chunks(value)
    if not files:
        raise InvalidRequest("the form must have a file", "missing_field", "file")
    return files


async def _chunks(file: UploadFile) -> AsyncGenerator[bytes, None]:
    while chunk := await file.read(_CHUNK_BYTES):
        yield chunk


def free_name(name: str, param: str) -> str:
    """The name, if an adapter can have it. Raises InvalidRequest about `param`."""
    if name == _RESERVED:
        raise InvalidRequest(f"No adapter can be called {_RESERVED!r}. Choose another name.", "invalid_value", param)
    return name


def _check_words(caller: Caller, words: AdapterWords) -> None:
    check_sharing(caller, words.shared_with or (), "shared_with")


def check_sharing(caller: Caller, readers: "list[str] | tuple[str, ...]", param: str) -> None:
    """Raises PermissionDenied where a tenant would share with everyone."""
    if EVERYONE in readers and not caller.is_admin:
        raise PermissionDenied(
            "Sharing with every tenant is for administrators. Name the tenants that may use the adapter.", param=param
        )


@router.get(ADAPTERS_PATH, operation_id="listAdapters")
async def list_adapters(
    services: Injected,
    caller: Reader,
    base: Annotated[str | None, Query(max_length=40, description="The served model it was checked against.")] = None,
    architecture: AdapterArchitecture | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    after: Annotated[
        str | None, Query(max_length=81, description="`tenant/name` of the last one on the page before.")
    ] = None,
) -> Page[AdapterView]:
    """The tenant's adapters and those that are shared with it, by tenant and name."""
    seen = None if after is None else _position(after)
    found = await services.adapters.list(
        caller.tenant, base=base, architecture=architecture, limit=limit + 1, after=seen
    )
    return Page(data=[adapter_view(one, caller) for one in found[:limit]], has_more=len(found) > limit)


def _position(after: str) -> tuple[str, str]:
    reference = adapter_reference(after, "after")
    if reference.tenant is None or reference.digest is not None:
        raise InvalidRequest("after reads tenant/name", "invalid_value", "after")
    return reference.tenant, reference.name


@router.get("/v1/adapters/{name}", operation_id="getAdapter")
async def get_adapter(name: str, services: Injected, caller: Reader) -> AdapterWithVersions:
    """One of the tenant's adapters, with its versions."""
    return await _shown(services, caller, name)


@router.get("/v1/adapters/{name}/content", operation_id="readAdapter", response_class=Response, responses=_DOWNLOAD)
async def read_adapter(name: str, services: Injected, caller: Reader) -> Response:
    """The files of one of the tenant's adapters: the one there is, or a zip of them."""
    return await _content(services, caller, name)


@router.get("/v1/adapters/{tenant}/{name}", operation_id="getTenantAdapter")
async def get_tenant_adapter(tenant: str, name: str, services: Injected, caller: Reader) -> AdapterWithVersions:
    """An adapter that its tenant shares, with its versions."""
    return await _shown(services, caller, f"{tenant}/{name}")


@router.get(
    "/v1/adapters/{tenant}/{name}/content",
    operation_id="readTenantAdapter",
    response_class=Response,
    responses=_DOWNLOAD,
)
async def read_tenant_adapter(tenant: str, name: str, services: Injected, caller: Reader) -> Response:
    """The files of an adapter that its tenant shares."""
    return await _content(services, caller, f"{tenant}/{name}")


@router.patch("/v1/adapters/{name}", operation_id="updateAdapter")
async def update_adapter(name: str, request: Request, services: Injected, caller: Writer) -> AdapterView:
    """Say something else of an adapter, or share it with others; its versions stay as they are."""
    return await _changed(request, services, caller, name)


@router.patch("/v1/adapters/{tenant}/{name}", operation_id="updateTenantAdapter")
async def update_tenant_adapter(
    tenant: str, name: str, request: Request, services: Injected, caller: Writer
) -> AdapterView:
    """The same, of a tenant's; another tenant's is for administrators."""
    return await _changed(request, services, caller, f"{tenant}/{name}")


@router.delete("/v1/adapters/{name}", operation_id="deleteAdapter", status_code=204)
async def delete_adapter(name: str, request: Request, services: Injected, caller: Writer) -> None:
    """Hide an adapter, or with `@sha256:...` one version of it, at once. Runs and calls that have it keep it."""
    await _deleted(request, services, caller, name)


@router.delete("/v1/adapters/{tenant}/{name}", operation_id="deleteTenantAdapter", status_code=204)
async def delete_tenant_adapter(tenant: str, name: str, request: Request, services: Injected, caller: Writer) -> None:
    """The same, of a tenant's; another tenant's is for administrators."""
    await _deleted(request, services, caller, f"{tenant}/{name}")


async def _found(services: Services, caller: Caller, text: str) -> StoredAdapter:
    reference = adapter_reference(text, "name")
    reader = None if caller.is_admin and reference.tenant else caller.tenant
    owner = reference.tenant or caller.tenant
    return await services.adapters.get(reader, owner, reference.name, reference.digest)


async def _shown(services: Services, caller: Caller, text: str) -> AdapterWithVersions:
    found = await _found(services, caller, text)
    return adapter_with_versions(found, caller, await services.adapters.versions(found.tenant, found.name))


async def _changed(request: Request, services: Services, caller: Caller, text: str) -> AdapterView:
    body = await read_as(request, AdapterWords)
    tenant, reference = await _owned(services, caller, text)
    if reference.digest is not None:
        raise InvalidRequest("A version never changes: leave '@sha256:...' out.", "invalid_adapter", "name")
    _check_words(caller, body)
    changed = await services.adapters.change(tenant, reference.name, body.words())
    adapters_of(request).forget()
    return adapter_view(changed, caller)


async def _deleted(request: Request, services: Services, caller: Caller, text: str) -> None:
    tenant, reference = await _owned(services, caller, text)
    await services.adapters.delete(tenant, reference.name, reference.digest)
    adapters_of(request).forget()


async def _owned(services: Services, caller: Caller, text: str) -> tuple[TenantName, AdapterReference]:
    """Whose adapter is to be changed. One that the caller may not see is unknown; one that it may use is not its."""
    reference = adapter_reference(text, "name")
    owner = reference.tenant or caller.tenant
    if owner != caller.tenant and not caller.is_admin:
        if await services.adapters.find(caller.tenant, owner, reference.name, reference.digest) is None:
            raise unknown_adapter(owner, reference.name, reference.digest)
        raise PermissionDenied(f"The adapter {owner}/{reference.name} is shared with you: only {owner} changes it.")
    return owner, reference


async def _content(services: Services, caller: Caller, text: str) -> Response:
    adapter = await _found(services, caller, text)
    version = adapter.version
    is_one = len(version.files) == 1
    name = f"{adapter.tenant}-{adapter.name}.{'safetensors' if is_one else 'zip'}"
    headers = {"content-disposition": f"attachment; filename={name}", "etag": f'"{version.digest}"'}
    if is_one:
        headers["content-length"] = str(version.num_bytes)
        return StreamingResponse(
            _closed(services.adapters.content(version, version.files[0])), 200, headers, "application/octet-stream"
        )
    files = [(file.name, services.adapters.content(version, file)) for file in version.files]
    return StreamingResponse(_closed(zipped(files)), 200, headers, "application/zip")


async def _closed(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        async for chunk in chunks:
            yield chunk
