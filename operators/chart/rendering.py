"""k8s/ for those who apply manifests rather than charts: the chart with each preset, as `helm template` writes it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from operators.state import Manifest

PRESETS = ("laptop", "single-gpu", "production")
RELEASE = NAMESPACE = "slipway"
_HEAD = "# Written by `make render` from helm/slipway. Do not edit.\n"
_PLACES = {
    "Namespace": "00-namespace",
    "PriorityClass": "10-priority-classes",
    "ServiceAccount": "20-operator",
    "Role": "20-operator",
    "RoleBinding": "20-operator",
    "Deployment": "20-operator",
    "NetworkPolicy": "30-network-policies",
    "Service": "40-stores",
    "StatefulSet": "40-stores",
    "Platform": "50-platform",
    "Model": "60-models",
    "Adapter": "60-adapters",
    "Workflow": "60-workflows",
}
"""The file of a kind. Numbers are the order in which `kubectl apply -f` reads a folder."""


class HelmFailed(Exception):
    """Helm is not there, or says that the chart is wrong."""


def find_helm() -> str:
    """The path of Helm: beside this Python, where `make` puts it, or else on PATH.

    Raises:
        HelmFailed: it is not installed.
    """
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    found = shutil.which("helm", path=os.pathsep.join(places))
    if found is None:
        raise HelmFailed("helm is not installed: `make` puts it into the virtual environment")
    return found


def template(chart: Path, *arguments: str) -> list[Manifest]:
    """What `helm template` makes of the chart, hooks included.

    Raises:
        HelmFailed: with Helm's own words.
    """
    command = [find_helm(), "template", RELEASE, str(chart), "--namespace", NAMESPACE, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise HelmFailed(done.stderr.strip())
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def rendered(chart: Path) -> dict[str, str]:
    """Text by path under k8s/. No Secret is among it: random values would be the same for all who read them here."""
    found: dict[str, str] = {}
    for preset in PRESETS:
        found |= _of_preset(chart, preset)
    dashboards = template(chart, "--set=platform.create=false", *_PLAIN, "--set=monitoring.dashboards=true")
    rules = template(chart, "--set=platform.create=false", *_PLAIN, "--set=monitoring.rules=true")
    found["monitoring/dashboards.yaml"] = _text(each for each in dashboards if each["kind"] == "ConfigMap")
    found["monitoring/rules.yaml"] = _text(each for each in rules if each["kind"] == "PrometheusRule")
    return found


_PLAIN = ("--skip-tests", "--set=secrets.create=false", "--set=monitoring.dashboards=false")


def _of_preset(chart: Path, preset: str) -> dict[str, str]:
    manifests = template(chart, f"--values={chart / f'values-{preset}.yaml'}", *_PLAIN)
    files: dict[str, list[Manifest]] = {}
    for manifest in (_namespace(), *manifests):
        files.setdefault(_PLACES[manifest["kind"]], []).append(manifest)
    return {f"{preset}/{name}.yaml": _text(found) for name, found in sorted(files.items())}


def _namespace() -> Manifest:
    """Which the chart leaves to `helm install --create-namespace`."""
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": levels}}


def _text(manifests: Iterator[Manifest] | list[Manifest]) -> str:
    return _HEAD + "".join("---\n" + _dumped(manifest) for manifest in manifests)


def _dumped(manifest: Manifest) -> str:
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such."""


def _represent(dumper: _Dumper, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent)


def write_rendered(chart: Path, folder: Path) -> None:
    """Write k8s/, and remove what the chart no longer makes."""
    files = rendered(chart)
    for part in (*PRESETS, "monitoring"):
        for path in (folder / part).glob("*.yaml"):
            if str(path.relative_to(folder)) not in files:
                path.unlink()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
