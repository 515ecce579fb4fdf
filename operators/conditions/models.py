"""How a model is, as its resource says it."""

from collections.abc import Mapping
from typing import Any

from operators.conditions.rolling import Finding, condition_in, conditions, reason_of, summed_up
from operators.conditions.seen import Seen, accepted, key_of, unanswered
from operators.crds.statuses import MAX_DECISIONS
from operators.desired.exposure import SERVICE_PORT
from operators.desired.metadata import gateway_service_name
from operators.state import LABEL_PLATFORM, LABEL_POOL, RAY_API, ObjectKey, Resource
from operators.syncing.documents import is_of_api
from serve.domain.documents import ModelDocument
from serve.domain.serving import ModelState
from serve.serving.serve_config import MODEL_APP_PREFIX

_FROM_REPORT = ("digest", "weightsDigest", "priceVersion", "coldStartSeconds", "scalingDecisions", "replicas")
_NOT_THERE_YET = "The platform does not have this document yet; it comes with the next pass."


def model_status(model: Resource[ModelDocument], seen: Seen) -> dict[str, Any]:
    """The status of a Model."""
    if (kept := seen.keeps(model)) is not None and accepted(seen.problems.get(key_of(model), ())).status == "True":
        return dict(kept)
    report = seen.catalogue.reports.get(model.name)
    status = _reported(report) if report else {key: model.status[key] for key in _FROM_REPORT if key in model.status}
    if seen.world.platform is not None:
        status |= _addresses(seen, seen.world.platform.name, model.document.spec.placement.pool)
    findings = [*_findings(model, seen, report), *_authorship(model)]
    status["observedGeneration"] = model.generation
    status["conditions"] = conditions(findings, model.status, model.generation, seen.now)
    return status


def _findings(model: Resource[ModelDocument], seen: Seen, report: Mapping[str, Any] | None) -> list[Finding]:
    is_valid = accepted(seen.problems.get(key_of(model), ()))
    if is_valid.status == "False":
        return summed_up([is_valid], is_valid)
    deployed = _deployed(model, seen, report)
    ready = _ready(report or {})
    if model.document.spec.weights is None:
        return summed_up([is_valid, deployed], ready)
    weights = _weights_resolved(deployed, report or {})
    *_, verdict = summed_up([is_valid, weights, deployed] if weights.status == "False" else [is_valid, deployed], ready)
    return [is_valid, weights, deployed, verdict]


def _deployed(model: Resource[ModelDocument], seen: Seen, report: Mapping[str, Any] | None) -> Finding:
    refusal = seen.refusal_of(model.document)
    if refusal is not None:
        return Finding("Deployed", "False", reason_of(refusal.code), refusal.message)
    silence = unanswered(seen, "Deployed")
    if silence is not None:
        return silence
    if report is None or report["digest"] != model.document.digest():
        return Finding("Deployed", "False", "NotAppliedYet", _NOT_THERE_YET)
    state, told = report["state"], report.get("message") or ""
    if (coming := _coming(model, seen, state)) is not None:
        return coming
    if state == ModelState.FAILED:
        return Finding("Deployed", "False", "StartFailed", told or "Its replicas cannot start.")
    if state == ModelState.LOADING:
        return Finding("Deployed", "False", "Starting", told or "Its first replica is starting.")
    return Finding("Deployed", "True", "Deployed", "Ray serves it.")


def _coming(model: Resource[ModelDocument], seen: Seen, state: str) -> Finding | None:
    """Why the replicas that answer may be those of the document before. None: they are of this one."""
    if _was_deployed(model):
        return None
    if not seen.is_passed_on:
        return Finding("Deployed", "False", "NotPassedOnYet", "Ray has not been given this document yet.")
    application = _application(model, seen)
    if state == ModelState.READY and application.get("status") == "DEPLOYING":
        return Finding("Deployed", "False", "Starting", "Its replicas make way for those of this document.")
    if state == ModelState.READY and application.get("status") == "DEPLOY_FAILED":
        told = application.get("message") or "its replicas cannot start."
        return Finding("Deployed", "False", "StartFailed", f"The document before serves on: {told}")
    return None


def _was_deployed(model: Resource[ModelDocument]) -> bool:
    before = condition_in(model.status, "Deployed") or {}
    return before.get("status") == "True" and before.get("observedGeneration") == model.generation


def _application(model: Resource[ModelDocument], seen: Seen) -> Mapping[str, Any]:
    """What KubeRay says of the model's application in the cluster that serves."""
    platform = seen.world.platform.name if seen.world.platform is not None else ""
    service = seen.world.live.objects.get(ObjectKey(RAY_API, "RayService", platform)) or {}
    active = (service.get("status") or {}).get("activeServiceStatus") or {}
    return (active.get("applicationStatuses") or {}).get(f"{MODEL_APP_PREFIX}{model.name}") or {}


def _ready(report: Mapping[str, Any]) -> Finding:
    replicas = report.get("replicas") or {}
    ready, desired = replicas.get("ready", 0), replicas.get("desired", 0)
    if ready:
        return Finding("Ready", "True", "Serving", f"{ready} of {desired} replicas answer.")
    seconds = report.get("cold_start_seconds")
    takes = f"; that takes about {seconds:.0f} s" if seconds else ""
    return Finding("Ready", "True", "AtZero", f"It has no replica now. The first call starts one{takes}.")


def _weights_resolved(deployed: Finding, report: Mapping[str, Any]) -> Finding:
    """Whether the bytes are known. A replica finds out when it starts, and may get no further."""
    digest = report.get("weights_digest")
    if digest and deployed.reason != "NotAppliedYet":
        return Finding("WeightsResolved", "True", "Resolved", f"The address holds {digest}.")
    if deployed.status != "True":
        return deployed.of_type("WeightsResolved")
    return Finding("WeightsResolved", "Unknown", "NotStartedYet", "Its weights are fetched with the first replica.")


def _authorship(model: Resource[ModelDocument]) -> list[Finding]:
    if not is_of_api(model):
        return []
    told = (
        "It was applied over HTTP: edits of this resource are set back. Change it with `slipway apply`, or delete it "
        f"with `slipway delete model {model.name}` and apply it here."
    )
    return [Finding("ManagedByApi", "True", "AppliedOverHttp", told)]


def _addresses(seen: Seen, platform: str, pool: str) -> dict[str, Any]:
    host = f"{gateway_service_name(platform)}.{seen.world.namespace}.svc"
    return {
        "endpoint": f"http://{host}:{SERVICE_PORT}/v1",
        "selector": f"{LABEL_PLATFORM}={platform},{LABEL_POOL}={pool}",
    }


def _reported(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the platform says, in the names of the status."""
    found = {
        "digest": report["digest"],
        "weightsDigest": report.get("weights_digest"),
        "priceVersion": report.get("price_version"),
        "coldStartSeconds": report.get("cold_start_seconds"),
        "scalingDecisions": list(report.get("scaling_decisions") or ())[:MAX_DECISIONS],
        "replicas": dict(report["replicas"]),
    }
    return {key: value for key, value in found.items() if value is not None and value != []}
