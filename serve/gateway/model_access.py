"""Which models a caller may name: a key's allow-list.

It is asked before the catalogue: a model that is not on it answers the same whether there is one or not.
"""

from serve.auth.access import Caller
from serve.domain.errors import PermissionDenied

_NUM_SHOWN = 20


def check_model(caller: Caller, model: str, *, with_adapters: bool = False) -> None:
    """Raises PermissionDenied (`model_not_allowed`) for what is not on the caller's list."""
    if caller.may_use(model, with_adapters=with_adapters):
        return
    how = " with adapters" if caller.may_use(model) else ""
    raise PermissionDenied(
        f"This key may not use the model {model[:80]!r}{how}. It may use: "
        f"{', '.join((caller.models or ())[:_NUM_SHOWN])}.",
        "model_not_allowed",
        "adapters" if how else "model",
    )
