"""`slipway render`: what the operator would write, from files."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
import yaml
from fakes.documents import envelope, model, platform
from typer.testing import CliRunner, Result

from operators.desired.objects import OPTIONAL_KINDS, desired_objects
from operators.desired.strategy import Strategy
from operators.render import as_yaml, register
from operators.state import Live, Resource, World

ROOT = Path(__file__).parents[2]
ECHO = {"family": "llm", "tasks": ["chat"], "card": {"title": "Écho"}, "engine": {"kind": "echo"}}


def render(*arguments: str, text: str = "") -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    return CliRunner().invoke(app, ["render", *arguments], input=text)


def test_it_prints_what_the_operator_writes(tmp_path: Path) -> None:
    documents = [envelope("Platform", "mine", {"pools": [{"name": "default"}]}), envelope("Model", "echo", ECHO)]
    for number, document in enumerate(documents):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(document))
    (tmp_path / "notes.txt").write_text("not a document")
    result = render("-f", str(tmp_path), "--namespace", "models")
    assert result.exit_code == 0, result.output
    printed = tuple(yaml.safe_load_all(result.stdout))
    owner = platform(pools=[{"name": "default"}])
    owner = owner.model_copy(update={"metadata": owner.metadata.model_copy(update={"name": "mine"})})
    echo = model(card={"title": "Écho"})
    world = World(
        "models",
        "default",
        platform=Resource(owner, uid=""),
        models=(Resource(echo, uid=""),),
        live=Live(known_kinds=OPTIONAL_KINDS),
    )
    assert printed == desired_objects(world, Strategy.IN_PLACE)


def test_without_a_platform_it_is_the_default_one() -> None:
    result = render("-f", "-", text=yaml.safe_dump(envelope("Model", "echo", ECHO)))
    first = next(yaml.safe_load_all(result.stdout))
    assert (first["kind"], first["metadata"]["name"]) == ("RayService", "slipway")
    assert "ownerReferences" not in first["metadata"]


def test_a_model_that_is_left_out_ends_with_a_refusal() -> None:
    lost = ECHO | {"placement": {"pool": "nowhere"}}
    result = render("-f", "-", text=yaml.safe_dump(envelope("Model", "lost", lost)))
    assert result.exit_code == 4
    assert "model/lost: spec.placement.pool" in result.stderr
    assert "model-lost" not in result.stdout


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    assert render("-f", str(tmp_path / "none.yaml")).exit_code == 2


def test_texts_of_several_lines_stay_readable() -> None:
    assert as_yaml(({"a": "one\ntwo\n"},)) == "---\na: |\n  one\n  two\n"


def test_equal_parts_are_written_out() -> None:
    part = ["x"]
    assert as_yaml(({"a": part, "b": part},)).count("x") == 2


@pytest.mark.parametrize("group", ["slipway.commands"])
def test_the_package_declares_the_command(group: str) -> None:
    """`serve.cli` may not know this package, and finds it by this entry point."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][group]
    assert EntryPoint("render", declared["render"], group).load() is register
