"""A Platform's own settings, as far as the platform's processes would start with them."""

from dataclasses import replace

from operators.desired.metadata import Owner
from serve.serving.ray_environment import wrong_settings


def valid_settings(owner: Owner) -> Owner:
    """`owner` without the settings that are wrong: one mistyped number must not end every process."""
    spec = owner.document.spec
    valid = {name: value for name, value in spec.settings.items() if not wrong_settings({name: value})}
    if len(valid) == len(spec.settings):
        return owner
    document = owner.document.model_copy(update={"spec": spec.model_copy(update={"settings": valid})})
    return replace(owner, document=document)
