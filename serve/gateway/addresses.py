"""How callers address a served model, on OpenAI's routes and on ours."""

from typing import Any

from serve.domain.errors import InvalidRequest, NotFound


def addressed_model(address: Any) -> str:
    """The served model that `address` names; the only place that knows how models and adapters are addressed.

    Raises:
        InvalidRequest: no address. NotFound: an adapter (`base:name`), which are not served yet.
    """
    if address is None:
        raise InvalidRequest("model is required", "missing_field", "model")
    if not isinstance(address, str):
        raise InvalidRequest("model must be a string", "invalid_type", "model")
    base, colon, adapter = address.partition(":")
    if colon:
        raise NotFound(
            f"Adapters are not served yet: leave out ':{adapter[:80]}' to call the base model {base[:80]!r}.",
            "adapter_not_found",
            "model",
        )
    return base
