"""How callers address a served model, on OpenAI's routes and on ours: `model`, or `model:adapter`.

An adapter reads as in `serve.domain.adapters`: `name` of the caller's own, `tenant/name`, either with `@sha256:...`.
"""

from dataclasses import dataclass
from typing import Any

from serve.domain.adapters import AdapterReference, parse_reference
from serve.domain.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Address:
    """A served model by name, and the adapter that is to be applied to it. `text` is what the caller wrote."""

    text: str
    model: str
    adapter: AdapterReference | None = None


def addressed(address: Any) -> Address:
    """What `address` names; the only place that knows how models and adapters are addressed.

    Raises:
        InvalidRequest: no address, or what follows the colon reads like no adapter.
    """
    if address is None:
        raise InvalidRequest("model is required", "missing_field", "model")
    if not isinstance(address, str):
        raise InvalidRequest("model must be a string", "invalid_type", "model")
    base, colon, adapter = address.partition(":")
    return Address(address, base, adapter_reference(adapter, "model") if colon else None)


def addressed_model(address: Any) -> str:
    """The served model alone, for what concerns no adapter."""
    return addressed(address).model


def adapter_reference(text: str, param: str) -> AdapterReference:
    """The adapter that `text` names. Raises InvalidRequest about `param`."""
    try:
        return parse_reference(text)
    except ValueError as error:
        raise InvalidRequest(f"{param}: {error}", "invalid_adapter", param) from None
