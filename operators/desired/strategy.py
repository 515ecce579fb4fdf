"""How a change reaches the pods of a running cluster. Planning chooses; the manifests say it to KubeRay."""

from enum import StrEnum


class Strategy(StrEnum):
    """The two ways; a document's `Auto` is one of them by then."""

    IN_PLACE = "InPlace"
    """Pods of the cluster there is are replaced one after another: no GPU more, and each is missed while it is away."""
    INCREMENTAL = "Incremental"
    """A second cluster beside the first, and traffic moves over in steps: nothing is missed; GPUs are needed twice."""

    @property
    def upgrade_type(self) -> str:
        """What RayService.spec.upgradeStrategy.type says for it. `None` is KubeRay's word for: leave the cluster be."""
        return "None" if self is Strategy.IN_PLACE else "NewClusterWithIncrementalUpgrade"
