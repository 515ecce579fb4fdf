"""By what a pod is recognised as one of today's or of yesterday's.

Ray's operator writes pods from templates, with much of its own, and leaves those alone that are there when a template
changes. So each template carries the digest of all that its pods are made of, pods inherit it, and where the two differ
the pod is out of date.
"""

from collections.abc import Mapping
from typing import Any

from operators.planning.comparing import digest
from operators.state import Manifest

ANNOTATION_REVISION = "slipway.dev/revision"
"""On pod templates, and through them on pods."""
HEAD = ""
"""The head's name among groups."""

_OF_EVERY_POD = ("rayVersion", "authOptions", "gcsFaultToleranceOptions", "tlsOptions")
_NOT_OF_PODS = frozenset(
    {
        "groupName",
        "replicas",
        "minReplicas",
        "maxReplicas",
        "scaleStrategy",
        "idleTimeoutSeconds",
        "priority",
        "suspend",
    }
)
_READ_BY_THE_AUTOSCALER = frozenset({"idleTimeoutSeconds", "upscalingMode"})
"""From the cluster's object, in every round: its container need not be another for them."""
MUTED = ("tolerations", "schedulingGates")
"""KubeRay leaves them out of its own digest too: they say where the next pod may go, not what a pod is."""


def with_revisions(ray_service: Manifest) -> Manifest:
    """The RayService with each pod template's revision in its annotations. Doing so twice is doing so once."""
    config = ray_service["spec"]["rayClusterConfig"]
    stamped = {
        **config,
        "headGroupSpec": _stamped(config, config["headGroupSpec"], is_head=True),
        "workerGroupSpecs": [_stamped(config, group, is_head=False) for group in config.get("workerGroupSpecs", [])],
    }
    return {**ray_service, "spec": {**ray_service["spec"], "rayClusterConfig": stamped}}


def _stamped(config: Mapping[str, Any], group: Manifest, is_head: bool) -> Manifest:
    template = group["template"]
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_REVISION: _revision(config, group, is_head)}
    return {**group, "template": {**template, "metadata": {**metadata, "annotations": annotations}}}


def revisions_of(config: Mapping[str, Any]) -> dict[str, str]:
    """What the templates of a cluster say, by group; the head's under HEAD."""
    groups = {HEAD: config.get("headGroupSpec", {})}
    groups |= {group["groupName"]: group for group in config.get("workerGroupSpecs") or []}
    return {name: revision_of(group.get("template", {})) for name, group in groups.items()}


def revision_of(template_or_pod: Mapping[str, Any]) -> str:
    """What it carries; empty: nothing of the operator's."""
    annotations = (template_or_pod.get("metadata") or {}).get("annotations") or {}
    return str(annotations.get(ANNOTATION_REVISION, ""))


def _revision(config: Mapping[str, Any], group: Mapping[str, Any], is_head: bool) -> str:
    parts: Manifest = {key: config.get(key) for key in _OF_EVERY_POD}
    if is_head:
        options = config.get("autoscalerOptions") or {}
        parts["autoscaler"] = {key: value for key, value in options.items() if key not in _READ_BY_THE_AUTOSCALER}
        parts["is_autoscaled"] = config.get("enableInTreeAutoscaling")
    parts["group"] = {key: value for key, value in group.items() if key not in _NOT_OF_PODS | {"template"}}
    parts["template"] = _template(group["template"])
    return digest(parts)[:16]


def _template(template: Mapping[str, Any]) -> Manifest:
    metadata: Manifest = dict(template.get("metadata") or {})
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key != ANNOTATION_REVISION
    }
    metadata = {key: value for key, value in metadata.items() if key != "annotations"}
    spec = {key: value for key, value in (template.get("spec") or {}).items() if key not in MUTED}
    return {"metadata": metadata, "annotations": annotations, "spec": spec}
