"""What every object that the operator makes says of itself."""

from collections.abc import Mapping
from typing import Any

from operators.state import LABEL_PLATFORM, Resource
from serve.domain.documents import API_VERSION
from serve.domain.platform import PlatformDocument

Owner = Resource[PlatformDocument]
"""The Platform that everything belongs to."""


def gateway_service_name(platform: str) -> str:
    """The Service that clients talk to, whatever the Ray cluster behind it is called."""
    return f"{platform}-gateway"


def platform_labels(platform: str, component: str) -> dict[str, str]:
    """Ours, and those that tools group things by."""
    return {
        LABEL_PLATFORM: platform,
        "app.kubernetes.io/name": "slipway",
        "app.kubernetes.io/instance": platform,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "slipway-operator",
    }


def object_metadata(
    owner: Owner, namespace: str, name: str, component: str, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The metadata of a child of `owner`. Rendered from files, an owner has no uid, and so is nobody's owner yet."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "labels": platform_labels(owner.name, component),
    }
    if annotations:
        metadata["annotations"] = dict(sorted(annotations.items()))
    if owner.uid:
        metadata["ownerReferences"] = [_owner_reference(owner)]
    return metadata


def _owner_reference(owner: Owner) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "Platform",
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
