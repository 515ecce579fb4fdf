"""The chart as Helm renders it, and what of it tests look at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from fakes.api_server import Admission

from operators.chart.rendering import HelmFailed, find_helm, template
from operators.crds.kinds import RESOURCE_KINDS, root_schema
from serve.domain.kinds import KINDS

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/slipway"
KUBERNETES = "1.36"


def _helm() -> str | None:
    try:
        return find_helm()
    except HelmFailed:
        return None


HELM = _helm()
NO_HELM = "helm is not installed (`make` puts it into .venv/bin; or put it on PATH)"
Manifest = dict[str, Any]
_ADMISSION = {name: Admission(root_schema(kind)) for name, kind in RESOURCE_KINDS.items()}
_OTHERS = {"PodMonitor", "PrometheusRule"}
"""Kinds that this project has no schema of."""


def render(*arguments: str, preset: str = "") -> list[Manifest]:
    """`helm template`, with a preset and whatever else."""
    chosen = [f"--values={CHART / f'values-{preset}.yaml'}"] if preset else []
    return template(CHART, *chosen, *arguments)


def render_values(tmp_path: Path, values: Manifest, *arguments: str) -> list[Manifest]:
    """The same with values of a test's own."""
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return template(CHART, f"--values={file}", *arguments)


def only(manifests: list[Manifest], kind: str, name: str = "") -> Manifest:
    """The one of that kind whose name ends so."""
    [found] = [each for each in manifests if each["kind"] == kind and each["metadata"]["name"].endswith(name)]
    return found


def kinds(manifests: list[Manifest]) -> set[str]:
    """The kinds that there are."""
    return {manifest["kind"] for manifest in manifests}


def check(manifest: Manifest) -> None:
    """What an API server would say; it raises or asserts."""
    if manifest["kind"] in KINDS:
        assert _ADMISSION[manifest["kind"]].refusals(manifest) == []
        bare = manifest | {"metadata": {"name": manifest["metadata"]["name"]}}
        KINDS[manifest["kind"]].model_validate(bare)
    elif manifest["kind"] not in _OTHERS:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod's spec, with the name of what makes it."""
    for manifest in manifests:
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, manifest["spec"]
        elif "template" in manifest.get("spec", {}):
            yield name, manifest["spec"]["template"]["spec"]


def containers(spec: Manifest) -> list[Manifest]:
    """All of a pod's, those that come first included."""
    found: list[Manifest] = spec.get("initContainers", []) + spec["containers"]
    return found
