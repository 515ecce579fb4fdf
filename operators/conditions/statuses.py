"""The status of every resource, from what one pass knows."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from operators.conditions.models import model_status
from operators.conditions.platforms import other_platform_status, platform_status
from operators.conditions.rolling import Finding, conditions, summed_up
from operators.conditions.seen import ACCEPTED, Seen, key_of
from operators.conditions.tenant_documents import adapter_status, workflow_status
from operators.planning.plan import UpgradeState
from operators.state import Catalogue, InvalidResource, ObjectKey, Problem, Refusal, World


def statuses(
    world: World,
    catalogue: Catalogue,
    problems: Iterable[Problem],
    refusals: Iterable[Refusal],
    upgrade: UpgradeState,
    now: datetime,
    is_passed_on: bool = True,
) -> Mapping[ObjectKey, dict[str, Any]]:
    """By resource its whole status, as JSON: one that equals what the resource has needs no write.

    Of a refusal only the one of the present document counts. Moments stay where a condition's status does. Unless it
    `is_passed_on`, what Ray serves may be the documents before.
    """
    seen = Seen.of(world, catalogue, problems, refusals, upgrade, now, is_passed_on)
    models = {key_of(model): model_status(model, seen) for model in world.models}
    found: dict[ObjectKey, dict[str, Any]] = {ObjectKey.of(one.manifest): _invalid(one, now) for one in world.invalid}
    invalid_models = [status for key, status in found.items() if key.kind == "Model"]
    found |= models
    found |= {key_of(adapter): adapter_status(adapter, seen) for adapter in world.adapters}
    found |= {key_of(workflow): workflow_status(workflow, seen) for workflow in world.workflows}
    found |= {key_of(platform): other_platform_status(platform, seen) for platform in world.other_platforms}
    if world.platform is not None:
        found[key_of(world.platform)] = platform_status(world.platform, seen, [*models.values(), *invalid_models])
    return found


def _invalid(resource: InvalidResource, now: datetime) -> dict[str, Any]:
    """Of what no document can be read from. What it said before is served on."""
    metadata = resource.manifest["metadata"]
    before, generation = resource.manifest.get("status") or {}, metadata.get("generation", 1)
    finding = Finding(ACCEPTED, "False", "InvalidDocument", resource.message)
    kept = {key: value for key, value in before.items() if key != "conditions"}
    found = conditions(summed_up([finding], finding), before, generation, now)
    return kept | {"observedGeneration": generation, "conditions": found}
