"""How changes reach a running Ray cluster. Planning chooses; the manifests say it to KubeRay."""

from enum import StrEnum


class Strategy(StrEnum):
    """Of one pass; the document's `Auto` is one of them by then."""

    IN_PLACE = "InPlace"
    """KubeRay makes no second cluster: the operator patches the one there is, and replaces its pods one by one."""
    INCREMENTAL = "Incremental"
    """KubeRay brings up a second cluster and moves traffic to it in steps."""
