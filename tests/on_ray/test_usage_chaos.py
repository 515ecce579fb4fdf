"""The kill test: parts die at random under load, and every token and image is accounted for, once.

Clients keep their own log of what they received (`fakes.usage_driver`); `fakes.usage_audit` compares it with the
ledger's tables when all is quiet again. What was estimated is marked and within one checkpoint.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes import usage_driver
from fakes.platform import TestPlatform, echo_document, running_platform, wait_for
from fakes.usage_audit import Tables, audit, read_log

CHAT = "ServeReplica:model-talk:replica"
IMAGES = "ServeReplica:model-paint:replica"
GATEWAY = "ServeReplica:gateway:gateway"
MAX_SECONDS_PER_KILL = 30.0
"""Of the slowest machine: so long does a part take to come back, when all of them die in turn."""
PARTS = (CHAT, CHAT, IMAGES, GATEWAY, "ServeReplica:runner:runner", "ServeReplica:ledger:ledger")
TALK = echo_document(
    "talk",
    engine={"maxConcurrency": 16, "tokenMs": 4},
    scaling={"replicas": 2},
    prices={"prompt": "0.11", "completion": "0.37"},
)
PAINT = echo_document(
    "paint",
    family="text_to_image",
    tasks=["text_to_image"],
    engine={"maxConcurrency": 8, "stepMs": 10},
    scaling={"replicas": 2},
    prices={"image": "0.002", "megapixelStep": "0.0001"},
)
pytestmark = pytest.mark.wants_a_new_platform


@pytest.fixture(scope="module")
def accountable(platform: TestPlatform) -> Iterator[TestPlatform]:
    """The platform, of which nobody else has made use yet, with priced models and a budget over everything."""
    assert not Tables(platform.folder / "data/slipway/slipway.db").attempts(), "the audit has to come first"
    platform.apply(TALK)
    platform.apply(PAINT)
    with platform.client() as client:
        budget = client.post("/v1/budgets", json={"period": "month", "limit_usd": "1000"}).raise_for_status().json()
        yield platform
        client.delete(f"/v1/budgets/{budget['id']}").raise_for_status()
        for model in ("talk", "paint"):
            client.delete(f"/v1/admin/documents/Model/{model}").raise_for_status()


@dataclass(frozen=True)
class Plan:
    """What is called, what dies, how often, and how many seconds apart."""

    num_kills: int
    pauses: tuple[float, float]
    seed: int
    parts: tuple[str, ...] = PARTS
    models: tuple[str, str] = ("talk", "paint")


class Saboteur:
    """Kills parts, and damages what they leave."""

    def __init__(self, platform: TestPlatform, plan: Plan) -> None:
        self.platform = platform
        self.parts = plan.parts
        self.chance = random.Random(plan.seed)
        self.num_kills = 0

    def strike(self) -> None:
        """One part dies; now and then its journal is cut in mid-record, or gone with it; or the ledger sleeps."""
        part = self.chance.choice(self.parts)
        victims = self.platform.pids(part)
        if not victims:
            return
        victim = self.chance.choice(victims)
        if "ledger" in part and self.chance.random() < 0.3:
            self._put_to_sleep(victim)
        elif "replica" in part.rpartition(":")[2] and self.chance.random() < 0.3:
            self._kill_with_damage(victim, part)
        else:
            self._signal(victim, signal.SIGKILL)
            self.num_kills += 1

    def _put_to_sleep(self, pid: int) -> None:
        self._signal(pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(1, 4))
        self._signal(pid, signal.SIGCONT)

    def _kill_with_damage(self, pid: int, part: str) -> None:
        """Stopped first, so that neither it nor anybody else has sent what is damaged."""
        self._signal(pid, signal.SIGSTOP)
        for journal in self._journals_of(pid, part.split(":")[1].removeprefix("model-")):
            if self.chance.random() < 0.5:
                shutil.rmtree(journal, ignore_errors=True)
            else:
                cut_in_mid_record(journal)
        self._signal(pid, signal.SIGKILL)
        self.num_kills += 1

    def _journals_of(self, pid: int, model: str) -> set[Path]:
        """Its own: it may be sending what another left, and both witnesses of a call are not to be harmed at once."""
        found = set()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = Path(os.readlink(link))
            if "journals" in target.parts and target.parent.name.startswith(model):
                found.add(target.parent)
        return found

    def _signal(self, pid: int, number: int) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


def cut_in_mid_record(journal: Path) -> None:
    """What a power cut leaves: the last record's end was never written."""
    segments = sorted(path for path in journal.iterdir() if path.suffix == ".log")
    for path in reversed(segments):
        written = path.read_bytes().rstrip(b"\0")
        if len(written) > 12:
            with path.open("r+b") as file:
                file.seek(len(written) - 12)
                file.write(b"\0" * 12)
            return


def wreak(platform: TestPlatform, log: Path, plan: Plan) -> None:
    """Load, and kills at random moments, until enough have died; then the load ends by itself."""
    arguments = [platform.url, platform.key, str(log), str(plan.seed), *plan.models]
    driver = subprocess.Popen([sys.executable, usage_driver.__file__, *arguments])
    saboteur, began = Saboteur(platform, plan), time.monotonic()
    try:
        while saboteur.num_kills < plan.num_kills:
            time.sleep(saboteur.chance.uniform(*plan.pauses))
            saboteur.strike()
            assert driver.poll() is None, "the driver has died"
            assert time.monotonic() - began < plan.num_kills * MAX_SECONDS_PER_KILL, "parts do not come back"
        wait_for(lambda: is_enough(read_log(log)), 120, "some calls end well, and some clients leave")
        driver.terminate()
        assert driver.wait(180) == 0
    finally:
        driver.kill()
        driver.wait()


def is_enough(lines: list[dict[str, Any]]) -> bool:
    """Whether there is something to audit."""
    outcomes = Counter(line["outcome"] for line in lines)
    return outcomes["complete"] > 10 and outcomes["left"] > 3


def at_rest(platform: TestPlatform) -> bool:
    """Whether every run has ended, every witness is settled and every allowance is back."""
    tables = Tables(platform.folder / "data/slipway/slipway.db")
    waiting = tables.unsettled()
    running = tables.rows("SELECT 1 FROM runs WHERE status IN ('queued', 'running') LIMIT 1")
    held = tables.rows("SELECT 1 FROM budget_accounts WHERE held_nano != 0 LIMIT 1")
    return not (waiting or running or held)


def check(platform: TestPlatform, log: Path) -> None:
    """All is quiet, and all adds up."""
    wait_for(lambda: at_rest(platform), 150, "every run ended, every witness settled, every allowance back")
    lines = read_log(log)
    assert is_enough(lines)
    problems = audit(Tables(platform.folder / "data/slipway/slipway.db"), lines)
    assert not problems, "\n".join(problems[:20]) + f"\n... {len(problems)} in all"
    reconciled = platform.run("usage", "reconcile")
    assert reconciled.returncode == 0, reconciled.stdout + reconciled.stderr


def test_a_few_kills_lose_nothing_and_double_nothing(accountable: TestPlatform, tmp_path: Path) -> None:
    wreak(accountable, tmp_path / "driver.log", Plan(num_kills=6, pauses=(1.0, 2.5), seed=7))
    check(accountable, tmp_path / "driver.log")


@pytest.mark.long
def test_two_hundred_kills_lose_nothing_and_double_nothing(accountable: TestPlatform, tmp_path: Path) -> None:
    wreak(accountable, tmp_path / "driver.log", Plan(num_kills=200, pauses=(0.6, 2.0), seed=11))
    check(accountable, tmp_path / "driver.log")


@pytest.mark.long
@pytest.mark.usefixtures("weights_available")
def test_with_real_engines_a_handful_of_kills_loses_nothing_either(tmp_path: Path) -> None:
    models = ("smollm2-135m-instruct", "shapes-sd")
    parts = tuple(f"ServeReplica:model-{model}:replica" for model in models)
    plan = Plan(num_kills=4, pauses=(12.0, 25.0), seed=3, parts=parts, models=models)
    settings = {"models_builtin": ",".join(models), "metering_witness_grace_seconds": "8"}
    with running_platform(tmp_path / "platform", **settings) as platform:
        wreak(platform, tmp_path / "driver.log", plan)
        check(platform, tmp_path / "driver.log")
