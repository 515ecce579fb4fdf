"""What a call says of adapters, before anybody knows whether they are there."""

from dataclasses import dataclass

from pydantic import Field

from serve.domain.adapters import MAX_PER_CALL, AdapterReference, Scale
from serve.domain.chat import Strict
from serve.gateway.addresses import Address, adapter_reference

MAX_REFERENCE_CHARS = 40 + 1 + 40 + 1 + 71


class AdapterChoice(Strict):
    """An adapter to apply: `name` of one's own, `tenant/name`, either with `@sha256:...`. Several add up."""

    name: str = Field(max_length=MAX_REFERENCE_CHARS)
    scale: Scale | None = Field(default=None, description="How strongly; by default what the adapter's owner says.")


AdapterChoices = list[AdapterChoice]
CHOICES_FIELD = Field(
    default=None,
    max_length=MAX_PER_CALL,
    description="LoRA adapters of GET /v1/adapters, applied together; the model's card says how many it takes.",
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """One adapter of a call. `param` is the field that names it."""

    reference: AdapterReference
    scale: float | None
    param: str


def chosen(address: Address, choices: AdapterChoices | None) -> tuple[Chosen, ...]:
    """The adapters that a call asks for, in the order in which it names them.

    Raises:
        InvalidRequest: `invalid_adapter`.
    """
    found = [] if address.adapter is None else [Chosen(address.adapter, None, "model")]
    for index, choice in enumerate(choices or ()):
        param = f"adapters.{index}.name"
        found.append(Chosen(adapter_reference(choice.name, param), choice.scale, param))
    return tuple(found)
