"""How a change reaches the pods of a running cluster. Planning chooses; the manifests say it to KubeRay."""

from enum import StrEnum

from serve.domain.platform import UpgradeSpec


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


def strategy_at_first(upgrade: UpgradeSpec) -> Strategy:
    """Of a cluster that is not there yet: with nothing to replace, `Auto` waits for something before it chooses."""
    moves_traffic = upgrade.strategy == "Incremental" and upgrade.gateway_class is not None
    return Strategy.INCREMENTAL if moves_traffic else Strategy.IN_PLACE
