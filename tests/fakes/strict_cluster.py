"""A cluster with the chart on it, on the strict API server: Helm's part, KubeRay's, and the operator's process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from fakes.chart import CHART, ROOT, only, render
from fakes.strict.refusal import Refused
from fakes.strict.shapes import Manifest
from fakes.strict.store import Write
from fakes.strict_kubernetes import StrictServer

NAMESPACE = "slipway"
ACCOUNT = "slipway-operator"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
OURS = "slipway.dev/v1alpha1"
RAY = "ray.io/v1"
KUBERAY_CRD_FILE = os.environ.get("KUBERAY_CRD_FILE", "")
_LIMIT_SECONDS = 120.0
"""Before something that is waited for is given up."""


@cache
def definitions() -> tuple[Manifest, ...]:
    """Our kinds' definitions, and KubeRay's; without the file that KUBERAY_CRD_FILE names, KubeRay's take anything."""
    found = [_loaded(file) for file in sorted((CHART / "crds").glob("*.yaml"))]
    service = _loaded(Path(KUBERAY_CRD_FILE)) if KUBERAY_CRD_FILE else _definition("RayService", {})
    return (*found, service, _ray_cluster(service))


def _loaded(file: Path) -> Manifest:
    loaded: Manifest = yaml.load(file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded


def _ray_cluster(service: Manifest) -> Manifest:
    """A RayCluster's spec is what a RayService says of its cluster."""
    version = next(one for one in service["spec"]["versions"] if one["name"] == "v1")
    spec = version["schema"]["openAPIV3Schema"].get("properties", {}).get("spec", {}).get("properties", {})
    return _definition("RayCluster", spec.get("rayClusterConfig", {}))


def _definition(kind: str, spec: Manifest) -> Manifest:
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {name: {"type": "string"} for name in ("apiVersion", "kind")} | {"metadata": {"type": "object"}}
    schema = {"type": "object", "properties": properties | {"spec": spec or anything, "status": anything}}
    plural = f"{kind.lower()}s"
    version = {"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.ray.io"},
        "spec": {
            "group": "ray.io",
            "scope": "Namespaced",
            "names": names,
            "versions": [version | {"schema": {"openAPIV3Schema": schema}}],
        },
    }


def prepare(server: StrictServer) -> None:
    """The definitions, and a namespace for the platform."""
    for definition in definitions():
        server.put(definition)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    server.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})


def install(server: StrictServer, preset: str, *arguments: str) -> list[Manifest]:
    """What `helm install` does, less the waiting; the objects that were applied."""
    manifests = [each for each in render(*arguments, preset=preset) if not _is_hook(each)]
    for manifest in manifests:
        server.put(manifest)
    return manifests


def _is_hook(manifest: Manifest) -> bool:
    return "helm.sh/hook" in (manifest["metadata"].get("annotations") or {})


@asynccontextmanager
async def operator(
    server: StrictServer, folder: Path, manifests: list[Manifest], **settings: str
) -> AsyncIterator[Path]:
    """The operator as its Deployment starts it, with its service account's token. Yields its log."""
    [container] = only(manifests, "Deployment", "operator")["spec"]["template"]["spec"]["containers"]
    (folder / "admin").write_text("x" * 40)
    told = {one["name"]: one.get("value", NAMESPACE) for one in container["env"]}
    here = {
        "KUBECONFIG": str(server.kubeconfig(folder / "kubeconfig", server.token_of(NAMESPACE, ACCOUNT), NAMESPACE)),
        "SLIPWAY_OPERATOR_ADMIN_FILE": str(folder / "admin"),
        "SLIPWAY_OPERATOR_HEALTH_PORT": "0",
        "SLIPWAY_OPERATOR_METRICS_PORT": "0",
        "SLIPWAY_OPERATOR_RESYNC_SECONDS": "0.3",
        "SLIPWAY_OPERATOR_POLL_SECONDS": "0.2",
        "SLIPWAY_OPERATOR_DEBOUNCE_SECONDS": "0.1",
        "SLIPWAY_OPERATOR_PLATFORM_URL": "http://127.0.0.1:9",
    }
    program = [sys.executable if word == "python" else word for word in container["command"]]
    log = folder / "operator.log"
    with log.open("w") as out:
        process = await asyncio.create_subprocess_exec(
            *program, env={**os.environ, **told, **here, **settings}, cwd=ROOT, stdout=out, stderr=out
        )
        try:
            yield log
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait until something is so, and return it."""
    for _ in range(int(_LIMIT_SECONDS / 0.1)):
        try:
            if found := holds():
                return found
        except Refused:
            pass
        await asyncio.sleep(0.1)
    raise AssertionError(f"it does not come to this: {what}")


async def readings(server: StrictServer, number: int) -> None:
    """Wait until the operator has read the namespace so many times more."""

    def num_read() -> int:
        path = f"/apis/{OURS}/namespaces/{NAMESPACE}/platforms"
        return sum(one.path == path and one.user == OPERATOR for one in server.asked)

    before = num_read()
    await until(lambda: num_read() >= before + number, f"{number} readings")


async def at_rest(server: StrictServer) -> None:
    """Wait until the operator writes nothing more over two readings."""
    for _ in range(20):
        before = len(server.writes(OPERATOR))
        await readings(server, 2)
        if server.writes(OPERATOR) and len(server.writes(OPERATOR)) == before:
            return
    raise AssertionError(f"the operator does not come to rest: {server.writes(OPERATOR)[-8:]}")


class View:
    """The namespace as `fakes.ray_controllers` deals with it."""

    def __init__(self, server: StrictServer) -> None:
        self._server = server

    def _version(self, kind: str) -> str:
        return {"RayService": RAY, "RayCluster": RAY}.get(kind, "v1")

    def of(self, kind: str) -> list[Manifest]:
        """Copies of the objects of a kind."""
        names = [one["metadata"]["name"] for one in self._server.all(self._version(kind), kind, NAMESPACE)]
        return [self.get(kind, name) for name in names]

    def get(self, kind: str, name: str) -> Manifest:
        """A copy of an object."""
        return self._server.get(self._version(kind), kind, NAMESPACE, name)

    def create(self, manifest: Manifest, manager: str) -> Manifest:
        """Create an object."""
        kind = self._server.store.kind(manifest["apiVersion"], manifest["kind"])
        return self._server.store.create(kind, NAMESPACE, manifest, Write(manager))

    def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        self._server.store.delete(self._server.store.kind(self._version(kind), kind), NAMESPACE, name, {})

    def set_status(self, kind: str, name: str, status: Manifest, manager: str = "kuberay-operator") -> None:
        """Write a status."""
        self._server.set_status(self.get(kind, name), status, manager)
