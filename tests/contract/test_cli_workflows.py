"""Workflows on the command line, against the real gateway, library, runner and operations."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fakes.gateway import CHAT
from fakes.http_server import serving
from fakes.images import picture
from fakes.workflow_platform import PAINTER, workflow_platform
from PIL import Image
from starlette.types import ASGIApp
from typer.testing import CliRunner, Result

from serve.cli.completion import workflow_names
from serve.cli.context import save_context
from serve.cli.main import build_app

TWINS = """\
apiVersion: slipway.dev/v1alpha1
kind: Workflow
metadata: {name: twins}
spec:
  title: Twins
  interface:
    inputs:
      - {name: prompt, type: text, description: What to paint., default: a kite}
      - {name: width, type: number, description: How wide., default: 32, constraints: {minimum: 8, maximum: 512}}
    outputs:
      - {name: words, from: [say, text]}
      - {name: pictures, from: [paint, images]}
      - {name: small, from: [shrink, image], primary: true}
  nodes:
    say:
      type: model:CHAT
      task: chat
      inputs: {prompt: {$input: prompt}, seed: 1}
    paint:
      type: model:PAINTER
      task: text_to_image
      inputs: {prompt: {$ref: [say, text]}, num_images: 2, seed: 7}
    shrink:
      type: op:image.resize
      inputs:
        image: {$ref: [paint, image]}
        width: {$input: width}
""".replace("CHAT", CHAT).replace("PAINTER", PAINTER)
SIDES = """\
apiVersion: slipway.dev/v1alpha1
kind: Workflow
metadata: {name: sides}
spec:
  interface:
    inputs:
      - {name: photos, type: "list[image]"}
      - {name: columns, type: number, default: 2}
    outputs:
      - {name: grid, from: [grid, image]}
      - {name: columns, from: [grid, columns]}
  nodes:
    grid:
      type: op:image.grid
      inputs: {images: {$input: photos}, columns: {$input: columns}, gap: 0}
"""
PARTIAL = """\
apiVersion: slipway.dev/v1alpha1
kind: Workflow
metadata: {name: partial}
spec:
  interface:
    inputs:
      - {name: photo, type: image}
      - {name: left, type: number}
    outputs:
      - {name: flipped, from: [flip, image]}
      - {name: cut, from: [cut, image]}
  nodes:
    flip:
      type: op:image.flip
      inputs: {image: {$input: photo}}
    cut:
      type: op:image.crop
      inputs: {image: {$input: photo}, left: {$input: left}, width: 8}
"""

_NUMBERS = count(1)


@dataclass(slots=True)
class Platform:
    """A running platform, and the command line that knows it."""

    url: str
    key: str

    def slipway(self, *words: str, **options: Any) -> Result:
        return CliRunner().invoke(build_app(), list(words), **options)

    def ok(self, *words: str) -> str:
        """The stdout of `slipway workflows ...`, which must succeed."""
        result = self.slipway("workflows", *words)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.ok(*words, "-o", "json"))

    def refused(self, *words: str, exit_code: int = 4) -> str:
        """Its stderr; it must fail so, and without a trace."""
        result = self.slipway("workflows", *words)
        assert result.exit_code == exit_code, result.output
        assert "Traceback" not in result.output
        return result.stderr


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    keys: list[str] = []

    @asynccontextmanager
    async def build() -> AsyncIterator[ASGIApp]:
        async with workflow_platform(tmp_path_factory.mktemp("platform") / "p") as it:
            keys.append(it.made.key)
            yield it.made.app

    with serving(build) as url:
        yield Platform(url, keys[0])


@pytest.fixture
def platform(running: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The platform as a tenant of its own sees it; commands run in an empty folder."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SLIPWAY_URL", raising=False)
    monkeypatch.delenv("SLIPWAY_API_KEY", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    key = new_key(running, f"tenant-{next(_NUMBERS)}")
    save_context(running.url, key)
    return Platform(running.url, key)


def new_key(running: Platform, tenant: str) -> str:
    """A key of a new tenant."""
    headers = {"authorization": f"Bearer {running.key}"}
    with httpx.Client(base_url=running.url, headers=headers, trust_env=False) as client:
        client.post("/v1/admin/tenants", json={"name": tenant}).raise_for_status()
        scopes = ["inference", "read", "workflows.write"]
        body = {"title": "test", "tenant": tenant, "project": "default", "scopes": scopes}
        return str(client.post("/v1/keys", json=body).raise_for_status().json()["key"])


def file(text: str, name: str = "workflow.yaml") -> str:
    Path(name).write_text(text, "utf-8")
    return name


def published(platform: Platform, text: str) -> None:
    platform.ok("apply", "-f", file(text), "--publish")


def size(name: str | Path) -> tuple[int, int]:
    with Image.open(name) as image:
        return image.size


def test_a_draft_is_saved_and_saved_again_and_published_under_an_alias(platform: Platform) -> None:
    assert platform.ok("apply", "-f", file(TWINS)) == "workflow/twins draft saved\n"
    assert platform.json("list")[0]["latest"] is None
    changed = file(TWINS.replace("default: 32", "default: 16"))
    told = platform.ok("apply", "-f", changed, "--publish", "--alias", "prod", "-m", "smaller")
    assert told.splitlines() == ["workflow/twins draft saved", "twins@1"]
    (version,) = platform.json("versions", "twins")
    assert (version["aliases"], version["note"]) == (["prod"], "smaller")
    assert "prod=1" in platform.ok("list")


def test_a_draft_is_saved_with_its_problems_and_not_published(platform: Platform) -> None:
    broken = file(TWINS.replace("[say, text]}, num_images", "[sax, text]}, num_images"))
    result = platform.slipway("workflows", "apply", "-f", broken)
    assert result.exit_code == 0
    assert "workflow.yaml:22: error: paint inputs.prompt:" in result.stderr
    told = platform.refused("apply", "-f", broken, "--publish")
    assert "code: invalid_workflow" in told
    assert platform.json("versions", "twins") == []


def test_every_problem_is_told_with_its_line_node_field_and_code(platform: Platform) -> None:
    wrong = TWINS.replace("num_images: 2", "num_imagos: 2").replace("op:image.resize", "op:image.risize")
    result = platform.slipway("workflows", "validate", "-f", file(wrong), "-o", "json")
    assert result.exit_code == 4
    found = {(one["line"], one["node"], one["field"], one["code"]) for one in json.loads(result.stdout)}
    assert {(22, "paint", "inputs.num_imagos", "unknown_input"), (24, "shrink", "type", "unknown_operation")} <= found
    assert "workflow.yaml:24: error: shrink type:" in platform.refused("validate", "-f", file(wrong))


def test_the_line_of_a_field_in_two_words_is_found(platform: Platform) -> None:
    wrong = TWINS.replace("      task: chat", "      task: chat\n      maxItems: 100000")
    result = platform.slipway("workflows", "validate", "-f", file(wrong), "-o", "json")
    assert [(one["line"], one["node"]) for one in json.loads(result.stdout)] == [(18, "say")]


def test_valid_workflows_are_told_so_and_nothing_is_kept(platform: Platform) -> None:
    assert platform.ok("validate", "-f", file(TWINS)) == "workflow/twins is valid: 3 steps at the most\n"
    assert platform.json("list") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(TWINS.replace("kind: Workflow", "kind: Model"), "and no Workflow", id="another kind"),
        pytest.param("- 1\n", "is no workflow", id="no document"),
        pytest.param("nodes: {}\n", "give --name", id="no name"),
    ],
)
def test_a_file_that_names_no_workflow_is_refused_before_anything_is_sent(
    platform: Platform, text: str, told: str
) -> None:
    assert told in platform.refused("apply", "-f", file(text), exit_code=2)


def test_a_file_that_is_no_yaml_is_refused_with_its_line(platform: Platform) -> None:
    assert "workflow.yaml:2: expected" in platform.refused("validate", "-f", file("nodes:\n  a: {b: ]\n"))


def test_a_workflow_as_the_api_has_it_is_applied_by_a_name_that_is_given(platform: Platform) -> None:
    spec = yaml.safe_load(TWINS)["spec"]
    assert "twins-two draft saved" in platform.ok("apply", "-f", file(json.dumps(spec)), "--name", "twins-two")


def test_outputs_are_printed_by_name_and_pictures_saved_as_files_of_their_names(platform: Platform) -> None:
    published(platform, TWINS)
    told = platform.ok("run", "twins", "prompt=a red dot", "width=16", "--save", "out")
    assert told.splitlines() == [
        "words: a red dot",
        "pictures: out/pictures.png",
        "pictures: out/pictures-2.png",
        "small: out/small.png",
    ]
    assert sorted(path.name for path in Path("out").iterdir()) == ["pictures-2.png", "pictures.png", "small.png"]
    assert size("out/pictures.png") == (64, 64)
    assert size("out/small.png") == (16, 16)


def test_files_that_are_there_are_left_where_no_folder_was_named(platform: Platform) -> None:
    published(platform, TWINS)
    Path("small.png").write_bytes(b"mine")
    told = platform.ok("run", "twins").splitlines()
    assert Path("small.png").read_bytes() == b"mine"
    (name,) = [line.removeprefix("small: ") for line in told if line.startswith("small")]
    assert size(name) == (32, 32)


def test_outputs_that_are_large_together_are_saved_as_a_file(platform: Platform) -> None:
    words = {"type": "op:text.template", "inputs": {"template": "{a}" * 100, "value_a": "x" * 9000}}
    spec = {"nodes": {"words": words}, "interface": {"outputs": [{"name": "long", "from": ["words", "text"]}]}}
    platform.ok("apply", "-f", file(json.dumps(spec)), "--name", "lengthy", "--publish")
    assert "$document: document.json" in platform.ok("run", "lengthy")
    assert json.loads(Path("document.json").read_text("utf-8")) == {"long": "x" * 900_000}


def test_steps_are_told_while_they_run_and_how_it_ended(platform: Platform) -> None:
    published(platform, TWINS)
    told = platform.slipway("workflows", "run", "twins", "prompt=one after the other", "--no-cache").stderr
    assert all(f"{label}: succeeded" in told for label in ("say", "paint"))
    assert "succeeded ·" in told


def test_pictures_are_sent_from_files_one_and_many(platform: Platform) -> None:
    published(platform, SIDES)
    for name in ("a.png", "b.png"):
        Path(name).write_bytes(picture())
    platform.ok("run", "sides", "photos=@a.png,@b.png", "--save", "out")
    width, height = size("a.png")
    assert size("out/grid.png") == (2 * width, height)


def test_what_there_is_of_a_failed_run_is_saved(platform: Platform) -> None:
    published(platform, PARTIAL)
    Path("a.png").write_bytes(picture())
    told = platform.refused("run", "partial", "photo=@a.png", "left=4000", "--save", "out", exit_code=5)
    assert "cut: failed" in told
    assert size("out/flipped.png") == size("a.png")
    assert not Path("out/cut.png").exists()


def test_json_is_the_run_and_files_are_saved_only_where_that_is_asked_for(platform: Platform) -> None:
    published(platform, TWINS)
    run = platform.json("run", "twins@1")
    assert run["workflow"] == "twins@1"
    assert set(run["output"]) == {"words", "pictures", "small"}
    assert not list(Path().glob("*.png"))
    platform.json("run", "twins", "--save", "out")
    assert Path("out/small.png").exists()


def test_a_run_to_a_node_gives_what_that_node_puts_out(platform: Platform) -> None:
    published(platform, TWINS)
    run = platform.json("run", "twins", "prompt=only this", "--target", "say")
    assert run["output"]["say.text"] == "only this"
    labels = [step["label"] for step in steps(platform, run) if step["status"] != "skipped"]
    assert labels == ["say"]


def steps(platform: Platform, run: dict[str, Any]) -> Any:
    described = platform.slipway("describe", "run", run["id"])
    assert described.exit_code == 0, described.output
    table = described.stdout.partition("\nSteps\n")[2].splitlines()
    return [{"label": line.split()[0], "status": line.split()[2]} for line in table[1:]]


def test_a_run_of_a_workflow_is_described_with_its_steps(platform: Platform) -> None:
    published(platform, TWINS)
    platform.ok("run", "twins", "--no-cache")
    again = platform.json("run", "twins")
    assert {one["label"]: one["status"] for one in steps(platform, again)} == {
        "paint": "cached",
        "say": "cached",
        "shrink": "cached",
    }
    assert "twins@1" in platform.slipway("get", "runs").stdout


def test_a_plan_says_what_would_run_and_costs_nothing(platform: Platform) -> None:
    published(platform, TWINS)
    plan = ("twins", "prompt=a plan of its own")
    lines = platform.ok("plan", *plan).splitlines()
    assert [line.split()[:3] for line in lines[1:4]] == [
        ["say", f"model:{CHAT}", "runs"],
        ["paint", f"model:{PAINTER}", "runs"],
        ["shrink", "op:image.resize", "runs"],
    ]
    assert any(line.startswith("costs at most: $0.") for line in lines)
    assert platform.ok("run", *plan, "--estimate").splitlines()[1:4] == lines[1:4]
    platform.ok("run", *plan)
    assert {node["status"] for node in platform.json("plan", *plan)["nodes"]} == {"cached"}


def test_a_run_is_started_and_left_alone(platform: Platform) -> None:
    published(platform, TWINS)
    run_id = platform.ok("run", "twins@draft", "--no-wait").strip()
    assert platform.slipway("get", "runs", run_id, "-o", "json").exit_code == 0


def test_inputs_are_checked_before_anything_is_sent(platform: Platform) -> None:
    published(platform, TWINS)
    assert "no input 'promt'" in platform.refused("run", "twins", "promt=a", exit_code=2)
    assert "width takes a whole number" in platform.refused("run", "twins", "width=wide", exit_code=2)
    assert "field: input.width" in platform.refused("run", "twins", "width=4")


def test_what_changed_is_told(platform: Platform) -> None:
    published(platform, TWINS)
    platform.ok(
        "apply", "-f", file(TWINS.replace("num_images: 2", "num_images: 3").replace("title: Twins", "title: Many"))
    )
    told = platform.ok("diff", "twins@1", "twins@draft").splitlines()
    assert told[0] == "~ paint: inputs.num_images is 3, and was 2"
    assert told[1] == "~ the title is another"
    assert platform.ok("diff", "twins@1", "twins@latest") == "twins: 1 and latest are the same.\n"
    assert "different workflows" in platform.refused("diff", "twins", "triplets", exit_code=2)


def test_what_is_exported_is_applied_unchanged(platform: Platform) -> None:
    published(platform, TWINS)
    file(platform.ok("export", "twins@1"), "kept.yaml")
    assert platform.slipway("apply", "-f", "kept.yaml").stdout == "workflow/twins unchanged\n"


def test_a_document_that_slipway_apply_publishes_keeps_the_order_of_a_schema(platform: Platform) -> None:
    schema = "{type: object, properties: {zoo: {type: string}, ant: {type: string, default: null}}}"
    text = TWINS.replace("seed: 1}", f"seed: 1, json_schema: {schema}}}")
    assert platform.slipway("apply", "-f", file(text)).stdout == "workflow/twins created\n"
    kept = json.loads(platform.ok("export", "twins", "-o", "json"))["spec"]["nodes"]["say"]["inputs"]["json_schema"]
    assert list(kept["properties"]) == ["zoo", "ant"]
    assert kept["properties"]["ant"] == {"type": "string", "default": None}


def test_slipway_apply_tells_why_a_workflow_is_refused(platform: Platform) -> None:
    result = platform.slipway("apply", "-f", file(TWINS.replace("op:image.resize", "op:image.risize")))
    assert result.exit_code == 4
    assert "refused: node shrink: there is no operation" in result.stderr


def test_aliases_move_on_and_back(platform: Platform) -> None:
    published(platform, TWINS)
    platform.ok("alias", "twins", "prod", "1")
    published(platform, TWINS.replace("default: 32", "default: 16"))
    assert platform.ok("alias", "twins", "prod", "2") == "twins@prod means twins@2 (before: 1)\n"
    assert platform.ok("rollback", "twins", "prod").startswith("twins@prod means twins@1")
    assert platform.json("get", "twins@prod")["version"] == 1
    assert "2 in use" not in platform.ok("delete", "twins@2")
    platform.ok("alias", "twins", "prod", "--remove")
    platform.refused("run", "twins@prod")


def test_a_workflow_is_shown_with_what_it_takes_and_gives(platform: Platform) -> None:
    published(platform, TWINS)
    shown = platform.ok("get", "twins")
    assert "What to paint." in shown
    assert "How wide." in shown
    assert "list of image" in shown
    assert "integer 8..512" in shown
    assert "draft" in platform.ok("get", "twins@draft")


def test_names_are_completed_and_nothing_is_said_where_no_platform_answers(platform: Platform) -> None:
    published(platform, TWINS)
    assert workflow_names("tw") == ["twins"]
    assert workflow_names("x") == []
    save_context("http://127.0.0.1:9", "none")
    assert workflow_names("tw") == []


@pytest.mark.parametrize(
    "command", ["apply", "validate", "plan", "run", "get", "publish", "diff", "export", "rollback"]
)
def test_every_command_shows_how_it_is_used(platform: Platform, command: str) -> None:
    assert "slipway workflows" in " ".join(platform.ok(command, "-h").split())
