"""What benchmarks put in the place of the platform's parts is what these ask for."""

from benchmarks.workflow_runs import BenchStage
from serve.domain.steps import Stage


def test_the_workflow_benchmark_has_all_that_an_execution_asks_of_a_run() -> None:
    asked = {name for name in vars(Stage) if not name.startswith("_")}
    assert not [name for name in sorted(asked) if not hasattr(BenchStage({"n": 1}), name)]
