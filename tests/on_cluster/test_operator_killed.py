"""An operator that ends between any two of its calls: the next one goes on from there, and what comes out is what would
have been without."""

import asyncio
import copy
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fakes.gateway import CHAT, EMBEDDER, gateway
from fakes.kubernetes import Manifest, api_server
from fakes.operator import Bench, adapter, killed_at, model, platform, workflow

Changes = Callable[[Bench, Path], None]
_NEVER_THE_SAME = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


def installed(bench: Bench, files: Path) -> None:
    """All four kinds, at once."""
    bench.server.edit(platform())
    bench.server.edit(model("one", adapters={"enabled": True}))
    bench.server.edit(adapter("tone", "one", files))
    bench.server.edit(workflow("greet"))


def changed(bench: Bench, files: Path) -> None:
    """One is changed, one deleted, one made, and what is exposed becomes something else."""
    bench.server.edit(platform(gateway={"expose": "ingress", "host": "slipway.example"}))
    bench.server.edit(model("one", card={"title": "another"}))
    bench.server.edit(model("two"))
    bench.server.delete("Workflow", "greet")
    bench.server.delete("Adapter", "tone")


def edited_by_hand(bench: Bench, files: Path) -> None:
    """What stands for a document of the platform's own is edited and deleted by hand."""
    bench.server.edit(model("mine", card={"title": "edited"}))
    bench.server.delete("Model", "yours")


def state(bench: Bench) -> dict[str, Any]:
    """Everything there is but events, without what differs from one run to the next."""
    found = {f"{kind}/{name}": bench.server.get(kind, name) for kind, name in bench.server.objects if kind != "Event"}
    return {key: _bare(manifest) for key, manifest in sorted(found.items())}


def _bare(manifest: Manifest) -> Manifest:
    bare = copy.deepcopy(manifest)
    for field in _NEVER_THE_SAME:
        bare["metadata"].pop(field, None)
    for owner in bare["metadata"].get("ownerReferences", []):
        owner.pop("uid")
    return bare


async def documents(bench: Bench) -> list[tuple[str, str]]:
    """Kind and digest of every document that the platform has."""
    async with bench.gateway.client() as client:
        return [
            (kind, row["digest"])
            for kind in ("Model", "Adapter", "Workflow")
            for row in (await client.get("/v1/admin/documents", params={"kind": kind})).json()["data"]
        ]


async def outcome(folder: Path, files: Path, changes: Changes, end_at: int) -> tuple[bool, dict[str, Any]]:
    """Whether the operator was ended before its write number `end_at`, and what there is in the end all the same."""
    async with gateway(folder) as made, api_server() as server:
        for name in (CHAT, EMBEDDER):
            await made.services.catalog.delete(name, "api")
        bench = Bench(server, made, folder)
        if changes is not installed:
            installed(bench, files)
            async with bench.operator() as operator, made.client() as client:
                for name in ("mine", "yours"):
                    await client.put(f"/v1/admin/documents/Model/{name}", json=model(name))
                await operator.settle()
        changes(bench, files)
        async with bench.operator() as operator:
            is_killed = await killed_at(end_at, server, asyncio.create_task(operator.settle()))
        async with bench.operator() as operator:
            await operator.settle()
        return is_killed, {**state(bench), "documents": await documents(bench)}


@pytest.mark.parametrize("changes", [installed, changed, edited_by_hand])
async def test_an_operator_may_end_between_any_two_calls(tmp_path: Path, changes: Changes) -> None:
    _, undisturbed = await outcome(tmp_path / "undisturbed", tmp_path, changes, 10_000)
    for number in count(1):
        is_killed, found = await outcome(tmp_path / str(number), tmp_path, changes, number)
        differs = {key: value for key, value in found.items() if undisturbed.get(key) != value}
        assert (number, differs, found.keys()) == (number, {}, undisturbed.keys())
        if not is_killed:
            break
    assert number > 3
