"""What the server's own validation says of pods and of templates of pods, beyond their schema."""

import re
from collections.abc import Iterator
from typing import Any

from fakes.strict.kinds import Kind
from fakes.strict.shapes import Manifest

from operators.planning.comparing import quantity

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_PORT = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_QUANTITY = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(([KMGTPE]i)|[numkMGTPE]|[eE][+-]?[0-9]+)?")
_TEMPLATES = {"Deployment": "spec.template", "StatefulSet": "spec.template", "Job": "spec.template", "Pod": ""}


def wrong_pod(kind: Kind, manifest: Manifest) -> Iterator[str]:
    """What is wrong with the pods of a built-in kind."""
    if kind.kind not in _TEMPLATES or kind.admission is not None:
        return
    path = _TEMPLATES[kind.kind]
    template: Any = manifest
    for step in filter(None, path.split(".")):
        template = template[step]
    claims = {each["metadata"]["name"] for each in manifest["spec"].get("volumeClaimTemplates") or ()}
    yield from wrong_spec(template["spec"], f"{path}.spec".lstrip("."), claims)
    selector = (manifest["spec"].get("selector") or {}).get("matchLabels") if path else None
    labels = (template.get("metadata") or {}).get("labels") or {}
    if selector and not selector.items() <= labels.items():
        yield f"{path}.metadata.labels: Invalid value: `selector` does not match template `labels`"


def wrong_spec(spec: Manifest, path: str, claims: set[str] | None = None) -> Iterator[str]:
    """What is wrong with a pod's spec; `claims` are volumes that its StatefulSet gives it."""
    names = [each["name"] for each in spec.get("volumes") or ()]
    yield from (f"{path}.volumes: Invalid value: {name!r}" for name in names if not _LABEL.fullmatch(name))
    yield from (f"{path}.volumes: Duplicate value: {name!r}" for name in set(names) if names.count(name) > 1)
    every = [*(spec.get("initContainers") or ()), *spec["containers"]]
    called = [each["name"] for each in every]
    yield from (f"{path}.containers: Duplicate value: {name!r}" for name in set(called) if called.count(name) > 1)
    for container in every:
        yield from _wrong_container(container, {*names, *(claims or ())}, f"{path}.containers[{container['name']}]")
    for volume in spec.get("volumes") or ():
        size = (volume.get("emptyDir") or {}).get("sizeLimit")
        if size is not None and not _QUANTITY.fullmatch(str(size)):
            yield f"{path}.volumes[{volume['name']}].emptyDir.sizeLimit: Invalid value: {size!r}"
    yield from _wrong_spread(spec.get("topologySpreadConstraints") or [], path)


def _wrong_spread(constraints: list[Manifest], path: str) -> Iterator[str]:
    keys = [(each["topologyKey"], each["whenUnsatisfiable"]) for each in constraints]
    if len(set(keys)) < len(keys):
        yield f"{path}.topologySpreadConstraints: Duplicate value: {keys}"


def _wrong_container(container: Manifest, volumes: set[str], path: str) -> Iterator[str]:
    if not _LABEL.fullmatch(container["name"]):
        yield f"{path}.name: Invalid value"
    if not container.get("image"):
        yield f"{path}.image: Required value"
    for mount in container.get("volumeMounts") or ():
        if mount["name"] not in volumes:
            yield f"{path}.volumeMounts: Not found: {mount['name']!r}"
    mounted = [mount["mountPath"] for mount in container.get("volumeMounts") or ()]
    if len(set(mounted)) < len(mounted):
        yield f"{path}.volumeMounts: must be unique: {mounted}"
    yield from _wrong_ports(container.get("ports") or [], path)
    yield from _wrong_resources(container.get("resources") or {}, path)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container and not {"httpGet", "exec", "tcpSocket", "grpc"} & container[probe].keys():
            yield f"{path}.{probe}: Required value: must specify a handler type"


def _wrong_ports(ports: list[Manifest], path: str) -> Iterator[str]:
    names = [port["name"] for port in ports if "name" in port]
    yield from (f"{path}.ports: Invalid value: {name!r}" for name in names if not _PORT.fullmatch(name))
    if len(set(names)) < len(names):
        yield f"{path}.ports: Duplicate value: {names}"


def _wrong_resources(resources: Manifest, path: str) -> Iterator[str]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, value in (*requests.items(), *limits.items()):
        if not _QUANTITY.fullmatch(str(value)):
            yield f"{path}.resources.{name}: Invalid value: {value!r}"
    for name in requests.keys() & limits.keys():
        asked, most = quantity(requests[name]), quantity(limits[name])
        if asked is not None and most is not None and asked > most:
            yield f"{path}.resources.requests: Invalid value: {name}: must be less than or equal to {name} limit"
        if "/" in name and asked != most:
            yield f"{path}.resources.limits: Invalid value: {name}: limit must be set for non overcommitable resources"


def unrestricted(spec: Manifest) -> Iterator[str]:
    """What the Pod Security standard `restricted` has against a pod's spec."""
    pod = spec.get("securityContext") or {}
    yield from (f"{host}=true" for host in ("hostNetwork", "hostPID", "hostIPC") if spec.get(host))
    allowed = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    for volume in spec.get("volumes") or ():
        if other := volume.keys() - allowed - {"name"}:
            yield f'restricted volume types (volume "{volume["name"]}" uses {sorted(other)})'
    for container in (*(spec.get("initContainers") or ()), *spec["containers"]):
        yield from _unrestricted_container(pod, container)


def _unrestricted_container(pod: Manifest, container: Manifest) -> Iterator[str]:
    own, name = container.get("securityContext") or {}, container["name"]
    if own.get("allowPrivilegeEscalation") is not False:
        yield f'allowPrivilegeEscalation != false (container "{name}")'
    if "ALL" not in ((own.get("capabilities") or {}).get("drop") or ()):
        yield f'unrestricted capabilities (container "{name}" must set securityContext.capabilities.drop=["ALL"])'
    if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
        yield f'runAsNonRoot != true (pod or container "{name}")'
    profile = own.get("seccompProfile") or pod.get("seccompProfile") or {}
    if profile.get("type") not in ("RuntimeDefault", "Localhost"):
        yield f'seccompProfile (pod or container "{name}" must set securityContext.seccompProfile.type)'
