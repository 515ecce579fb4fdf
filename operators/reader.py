"""What the operator knows of the cluster: a copy in memory that watches keep fresh, and full readings set right.

Watches alone would do harm: one that breaks and begins anew tells nothing of what was deleted meanwhile. Answers to
our own writes are taken in as well, so that the next pass does not repeat them before the watch has caught up.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from operators.cluster import Cluster
from operators.permissions import PERMISSIONS, Permission
from operators.settings import OperatorSettings
from operators.state import (
    ANNOTATION_TENANT,
    LABEL_PLATFORM,
    DocumentT,
    InvalidResource,
    Live,
    Manifest,
    ObjectKey,
    Resource,
    World,
)
from serve.domain.documents import AdapterDocument, ModelDocument
from serve.domain.platform import PlatformDocument
from serve.domain.workflow import WorkflowDocument

DEFAULT_TENANT = "default"
DOCUMENTS = frozenset({"Platform", "Model", "Adapter", "Workflow"})
"""Kinds that people write."""
CHILDREN = frozenset({"RayService", "Service", "Ingress", "HTTPRoute", "PodDisruptionBudget", "PodMonitor"})
"""Kinds that the operator makes for a Platform. All are read, not ours alone: names may be taken, labels lost."""
READ = tuple(row for row in PERMISSIONS if "list" in row.verbs)
_OF_TOOLS = re.compile(r"([a-z0-9.-]+\.)?(kubernetes\.io|k8s\.io|helm\.sh|slipway\.dev)/")
"""Labels that are no part of a document: the same file, applied by Helm or over HTTP, is the same document."""
SELECTORS = {"Pod": LABEL_PLATFORM}
"""Of kinds whose other objects are many and none of ours."""


def version_of(manifest: Mapping[str, Any]) -> int | None:
    """An object's resource version, which servers since 1.35 promise to be a number that grows; else None."""
    version = manifest["metadata"].get("resourceVersion", "")
    return int(version) if version.isdigit() else None


class Memory:
    """The objects of a namespace, by kind and name."""

    def __init__(self) -> None:
        self._objects: dict[str, dict[str, Manifest]] = {}

    def of(self, kind: str) -> Mapping[str, Manifest]:
        """The objects of a kind, by name."""
        return self._objects.get(kind, {})

    def put(self, manifest: Manifest) -> bool:
        """Take an object in, unless a newer state of it is known. Returns whether it was."""
        metadata = manifest["metadata"]
        known = self._objects.setdefault(manifest["kind"], {})
        if (old := known.get(metadata["name"])) is not None:
            before, now = version_of(old), version_of(manifest)
            if before is not None and now is not None and now <= before:
                return False
        if manifest["kind"] in DOCUMENTS:
            manifest = {**manifest, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}
        known[metadata["name"]] = manifest
        return True

    def remove(self, manifest: Manifest) -> bool:
        """Forget an object that was deleted, unless another has its name by now. Returns whether it was known."""
        known, metadata = self._objects.get(manifest["kind"], {}), manifest["metadata"]
        old = known.get(metadata["name"])
        if old is None or old["metadata"].get("uid") != metadata.get("uid"):
            return False
        del known[metadata["name"]]
        return True

    def replace(self, kind: str, listed: Iterable[Manifest], read_at: str) -> None:
        """Set a kind right by a full list. What is newer than the list stays as it is."""
        names = set[str]()
        for manifest in listed:
            names.add(manifest["metadata"]["name"])
            self.put(manifest)
        moment = int(read_at) if read_at.isdigit() else None
        known = self._objects.setdefault(kind, {})
        for name in known.keys() - names:
            version = version_of(known[name])
            if moment is None or version is None or version <= moment:
                del known[name]

    def forget(self, kind: str) -> None:
        """Forget a kind altogether: the cluster serves it no more."""
        self._objects.pop(kind, None)


class Reader:
    """Keeps the memory, and makes a `World` of it."""

    def __init__(self, cluster: Cluster, settings: OperatorSettings) -> None:
        self._cluster = cluster
        self._settings = settings
        self._tenant = settings.tenant or DEFAULT_TENANT
        self._kinds: frozenset[tuple[str, str]] = frozenset()
        self._parsed: dict[str, tuple[tuple[int, Any], Any]] = {}
        """By uid: generation and labels, and the document that was read from them."""
        self.memory = Memory()

    @property
    def kinds(self) -> frozenset[tuple[str, str]]:
        """(apiVersion, kind) of what the cluster serves; known after the first reading."""
        return self._kinds

    async def read(self) -> None:
        """Read everything anew.

        Raises:
            ClusterError: if some of it cannot be read; what could be is kept.
        """
        self._kinds = await self._cluster.served()
        if not self._settings.tenant:
            annotations = (await self._cluster.get_namespace())["metadata"].get("annotations") or {}
            self._tenant = annotations.get(ANNOTATION_TENANT) or DEFAULT_TENANT
        for row in READ:
            if (row.api_version, row.kind) in self._kinds:
                listed, read_at = await self._cluster.listed(row.kind, SELECTORS.get(row.kind, ""))
                self.memory.replace(row.kind, listed, read_at)
            else:
                self.memory.forget(row.kind)
        self._forget_parsed()

    def world(self) -> World:
        """What a pass sees. Documents that are being deleted are still in it, and say so."""
        invalid = list[InvalidResource]()
        platforms = sorted(self._resources(PlatformDocument, invalid), key=lambda one: (one.created, one.name))
        staying = [one for one in platforms if not one.is_deleting]
        # A younger one does not take the place of one that cannot be read: that one's cluster still runs.
        is_first = not any(_age(one.manifest) < (staying[0].created, staying[0].name) for one in invalid if staying)
        return World(
            namespace=self._settings.namespace,
            tenant=self._tenant,
            platform=staying[0] if staying and is_first else None,
            other_platforms=tuple(staying[is_first:]),
            models=tuple(self._resources(ModelDocument, invalid)),
            adapters=tuple(self._resources(AdapterDocument, invalid)),
            workflows=tuple(self._resources(WorkflowDocument, invalid)),
            invalid=tuple(invalid),
            live=self._live(),
        )

    def _resources(self, kind: type[DocumentT], invalid: list[InvalidResource]) -> Iterator[Resource[DocumentT]]:
        """The resources of a kind by name; those that no document can be read from are added to `invalid`."""
        objects = self.memory.of(kind.__name__.removesuffix("Document"))
        for _, manifest in sorted(objects.items()):
            document = self._parse(kind, manifest)
            if isinstance(document, str):
                invalid.append(InvalidResource(manifest, document))
            else:
                yield _resource(document, manifest)

    def _parse(self, kind: type[DocumentT], manifest: Manifest) -> DocumentT | str:
        metadata = manifest["metadata"]
        seen = (metadata.get("generation", 1), metadata.get("labels"))
        if (known := self._parsed.get(metadata["uid"])) is not None and known[0] == seen:
            cached: DocumentT | str = known[1]
            return cached
        document = parse(kind, manifest)
        self._parsed[metadata["uid"]] = (seen, document)
        return document

    def _forget_parsed(self) -> None:
        uids = {manifest["metadata"]["uid"] for kind in DOCUMENTS for manifest in self.memory.of(kind).values()}
        self._parsed = {uid: entry for uid, entry in self._parsed.items() if uid in uids}

    def _live(self) -> Live:
        children = [manifest for kind in sorted(CHILDREN) for manifest in self.memory.of(kind).values()]
        clusters = {
            name: manifest
            for name, manifest in sorted(self.memory.of("RayCluster").items())
            if (owner := _controller(manifest)) is not None and self._is_of_ours(owner)
        }
        pods = tuple(
            manifest
            for _, manifest in sorted(self.memory.of("Pod").items())
            if manifest["metadata"].get("labels", {}).get("ray.io/cluster") in clusters
        )
        objects = {ObjectKey.of(manifest): manifest for manifest in children}
        return Live(objects, clusters, pods, self._kinds)

    def _is_of_ours(self, owner: Manifest) -> bool:
        service = self.memory.of("RayService").get(owner["name"]) if owner["kind"] == "RayService" else None
        if service is None or service["metadata"]["uid"] != owner["uid"]:
            return False
        platform = _controller(service)
        return platform is not None and platform["kind"] == "Platform"


def parse(kind: type[DocumentT], manifest: Manifest) -> DocumentT | str:
    """The document that a resource holds, or a sentence about why there is none."""
    metadata = manifest["metadata"]
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if not _OF_TOOLS.match(key)}
    body = {
        "apiVersion": manifest["apiVersion"],
        "kind": manifest["kind"],
        "metadata": {"name": metadata["name"]} | ({"labels": labels} if labels else {}),
    }
    if "spec" in manifest:
        body["spec"] = manifest["spec"]
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else str(first["msg"])


def _resource(document: DocumentT, manifest: Manifest) -> Resource[DocumentT]:
    metadata = manifest["metadata"]
    return Resource(
        document=document,
        uid=metadata["uid"],
        generation=metadata.get("generation", 1),
        created=metadata.get("creationTimestamp", ""),
        annotations=metadata.get("annotations") or {},
        labels=metadata.get("labels") or {},
        is_deleting="deletionTimestamp" in metadata,
        status=manifest.get("status") or {},
    )


def _age(manifest: Manifest) -> tuple[str, str]:
    """The oldest first."""
    return manifest["metadata"].get("creationTimestamp", ""), manifest["metadata"]["name"]


def _controller(manifest: Manifest) -> Manifest | None:
    owners = manifest["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def watched(kinds: frozenset[tuple[str, str]]) -> tuple[Permission, ...]:
    """The rows whose kinds can be watched on this cluster."""
    return tuple(row for row in READ if (row.api_version, row.kind) in kinds)
