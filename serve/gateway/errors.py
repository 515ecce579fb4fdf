"""From errors to HTTP: the only place that knows statuses.

Bodies are OpenAI's, `{"error": {message, type, param, code}}`, on every route; a workflow that cannot run has
`problems` beside them, everything that is wrong with it. A 5xx of ours says nothing of our
insides; the request id finds them in the log. `x-should-retry` tells OpenAI's clients, which otherwise retry every
408, 409, 429 and 5xx, whether another attempt can succeed.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serve.domain import errors, validation
from serve.gateway.exchange import exchange_of


class RequestTimedOut(errors.InvalidRequest):
    """The client stopped sending in the middle of its body."""

    default_code = "request_timeout"


class MethodNotAllowed(errors.InvalidRequest):
    """The path is there, the method is not."""

    default_code = "method_not_allowed"


class RangeNotSatisfiable(errors.InvalidRequest):
    """The byte range begins past the end."""

    default_code = "range_not_satisfiable"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a class of errors is answered. `instead` replaces a message that may tell of our insides."""

    status: int
    type: str
    retry: bool = False
    instead: str = ""


_INTERNAL = "Something broke on our side. Tell us the request id {request_id} if it happens again."
_ENGINE = "The model failed on this request. Its log has the details under the request id {request_id}."
_STORAGE = "The blob store does not answer. Try again shortly (request id {request_id})."
_LOST = "The model's replica was lost while it answered. Send the request again (request id {request_id})."

RULES: Mapping[type[Exception], Rule] = {
    errors.InvalidRequest: Rule(400, "invalid_request_error"),
    errors.Unauthenticated: Rule(401, "authentication_error"),
    errors.PermissionDenied: Rule(403, "permission_error"),
    errors.NotFound: Rule(404, "not_found_error"),
    MethodNotAllowed: Rule(405, "invalid_request_error"),
    RequestTimedOut: Rule(408, "invalid_request_error"),
    errors.Conflict: Rule(409, "conflict_error"),
    errors.PayloadTooLarge: Rule(413, "invalid_request_error"),
    RangeNotSatisfiable: Rule(416, "invalid_request_error"),
    errors.Unprocessable: Rule(422, "invalid_request_error"),
    errors.Overloaded: Rule(429, "rate_limit_error", retry=True),
    errors.QuotaExceeded: Rule(429, "insufficient_quota"),
    errors.Canceled: Rule(499, "conflict_error"),
    errors.EngineFailed: Rule(500, "server_error", instead=_ENGINE),
    errors.ModelUnavailable: Rule(503, "server_error", retry=True),
    errors.LoginUnavailable: Rule(503, "server_error", retry=True),
    errors.MeteringUnavailable: Rule(503, "server_error", retry=True),
    errors.StorageUnavailable: Rule(503, "server_error", retry=True, instead=_STORAGE),
    errors.ReplicaLost: Rule(503, "server_error", retry=True, instead=_LOST),
    errors.DeadlineExceeded: Rule(504, "server_error"),
    Exception: Rule(500, "server_error", instead=_INTERNAL),
}
"""The nearest class of an error's ancestry decides."""

_RETRY_SECONDS = 1.0
"""Said where waiting helps and the error names no time."""


def rule_for(error: Exception) -> Rule:
    """The rule of the nearest class."""
    return next(RULES[cls] for cls in type(error).__mro__ if cls in RULES)


def envelope(error: Exception, request_id: str) -> dict[str, Any]:
    """The body that tells of `error`."""
    rule = rule_for(error)
    known = error if isinstance(error, errors.SlipwayError) else errors.SlipwayError("")
    message = rule.instead.format(request_id=request_id) if rule.instead else known.message
    told: dict[str, Any] = {"message": message, "type": rule.type, "param": known.param, "code": known.code}
    if isinstance(error, errors.InvalidWorkflow):
        told["problems"] = list(error.problems)
    return {"error": told}


def answer(error: Exception, request_id: str) -> Response:
    """The whole response that tells of `error`."""
    rule = rule_for(error)
    body = orjson.dumps(envelope(error, request_id))
    return Response(body, rule.status, _headers(error, rule), "application/json")


def _headers(error: Exception, rule: Rule) -> dict[str, str]:
    headers = {} if rule.status < 408 else {"x-should-retry": "true" if rule.retry else "false"}
    if rule.retry:
        seconds = getattr(error, "retry_after_seconds", None) or _RETRY_SECONDS
        headers |= {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(math.ceil(seconds * 1000))}
    if rule.status == 401:
        headers["www-authenticate"] = "Bearer"
    if rule.status in (408, 413):
        headers["connection"] = "close"  # the rest of the body is not wanted
    return headers


def understood(error: Exception) -> Exception:
    """`error` in our words where a framework raised it: unknown routes, bad methods, bad query parameters."""
    if isinstance(error, RequestValidationError):
        return _bad_parameter(error)
    if isinstance(error, HTTPException):
        return _http_error(error)
    return error


def _bad_parameter(error: RequestValidationError) -> errors.InvalidRequest:
    """Query parameters and headers; bodies are read by `serve.gateway.bodies` and have better sentences."""
    first = error.errors()[0]
    found = validation.problem(first, (str(first["loc"][-1]),))
    return errors.InvalidRequest(found.sentence(), found.code, found.param)


def _http_error(error: HTTPException) -> Exception:
    if error.status_code == 404:
        return errors.NotFound("There is no such route. /docs lists those there are.", "route_not_found")
    if error.status_code == 405:
        return MethodNotAllowed("This route has other methods. /docs lists them.")
    if error.status_code < 500:
        return errors.InvalidRequest(str(error.detail))
    return error


async def on_framework_error(request: Request, error: Exception) -> Response:
    """The exception handler for what starlette and FastAPI raise."""
    response = answer(understood(error), exchange_of(request.scope).request_id)
    allow = (getattr(error, "headers", None) or {}).get("Allow")
    if allow:
        response.headers["allow"] = allow
    return response
