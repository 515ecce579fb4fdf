"""How a node is let go: Ray is told, its replicas are waited for, and nothing keeps a pod from ending."""

from pathlib import Path

import pytest

from serve.cli import node_drain
from serve.cli.node_drain import drain_command, drain_node, num_replicas


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A process table with two replicas, and others."""
    titles = ("ray::ServeReplica:gateway:gateway", "ray::ServeReplica:model-echo:replica", "ray::ProxyActor", "bash")
    for number, title in enumerate(titles, start=10):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "cmdline").write_bytes(title.encode() + b"\0")
    (tmp_path / "99").mkdir()
    (tmp_path / "uptime").write_text("1 1")
    return tmp_path


def test_replicas_are_known_by_their_titles_and_what_has_just_ended_is_none(proc: Path):
    assert num_replicas(proc) == 2


def test_it_waits_until_the_replicas_are_gone(proc: Path, monkeypatch: pytest.MonkeyPatch):
    pauses: list[float] = []

    def end_one(seconds: float) -> None:
        pauses.append(seconds)
        (proc / str(9 + len(pauses)) / "cmdline").write_bytes(b"")

    monkeypatch.setattr(node_drain.time, "sleep", end_one)
    assert drain_node(3600, proc, lambda seconds: True) == 0
    assert len(pauses) == 2


def test_it_waits_no_longer_than_it_may(proc: Path):
    assert drain_node(0, proc, lambda seconds: True) == 2


def test_where_ray_is_gone_already_nothing_is_waited_for(proc: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(node_drain.time, "sleep", lambda seconds: pytest.fail("it waits"))
    assert drain_node(3600, proc, lambda seconds: False) == 2


@pytest.mark.parametrize(("seconds", "told"), [(120.0, "120"), (0.0, "1")])
def test_ray_is_told_how_long_the_node_has(seconds: float, told: str):
    assert f"--deadline-remaining-seconds={told}" in drain_command(seconds)
