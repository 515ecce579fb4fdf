"""What happens to a run, decided."""

import pytest
from fakes.runs import new_run
from hypothesis import given
from hypothesis import strategies as st

from serve.domain.errors import (
    Canceled,
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    ModelUnavailable,
    NotFound,
    Overloaded,
    ReplicaLost,
)
from serve.domain.run import Run, RunStatus
from serve.runs import lifecycle

NOW = 1_000_000


def running(**changes: object) -> Run:
    values = {"created_ms": NOW, "status": RunStatus.RUNNING, "attempt": 1, "fence": 1} | changes
    return Run(**new_run().model_dump() | values)


def raised(run: Run, error: Exception, admitted: bool = True) -> lifecycle.Decision:
    return lifecycle.raised(run, error, admitted=admitted, now_ms=NOW, jitter=0.5)


@pytest.mark.parametrize("status", [status for status in RunStatus if status.is_terminal])
def test_nothing_follows_an_end(status: RunStatus) -> None:
    assert not any(lifecycle.may(status, after) for after in RunStatus)


def test_every_status_but_queued_is_reached_from_running_or_queued() -> None:
    reached = set().union(*lifecycle.TRANSITIONS.values())
    assert reached == set(RunStatus)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        pytest.param(InvalidRequest("no", "bad", "input.n"), "bad", id="the caller's mistake"),
        pytest.param(NotFound("gone"), "not_found", id="a deleted model"),
        pytest.param(EngineFailed("broke"), "engine_failed", id="an engine that broke"),
        pytest.param(DeadlineExceeded("late"), "deadline_exceeded", id="a deadline that the model saw"),
    ],
)
def test_an_error_that_another_attempt_would_meet_again_fails_the_run(error: Exception, code: str) -> None:
    decision = raised(running(), error)
    assert decision.status == RunStatus.FAILED
    assert decision.error is not None
    assert decision.error.code == code


def test_the_field_an_error_is_about_is_kept() -> None:
    decision = raised(running(), InvalidRequest("no", "bad", "input.n"))
    assert decision.error is not None
    assert decision.error.param == "input.n"


def test_an_unknown_error_fails_the_run_and_tells_nothing_of_itself() -> None:
    decision = raised(running(), RuntimeError("password=hunter2"))
    assert decision.status == RunStatus.FAILED
    assert decision.error is not None
    assert decision.error.code == "internal_error"
    assert "hunter2" not in str(decision)


@pytest.mark.parametrize("error", [ReplicaLost("x"), ModelUnavailable("x"), Canceled("x")], ids=lambda e: e.code)
def test_a_lost_attempt_is_tried_again_with_ever_longer_pauses(error: Exception) -> None:
    first, second = (raised(running(attempt=n, max_attempts=5), error) for n in (1, 2))
    assert (first.status, second.status) == (RunStatus.QUEUED, RunStatus.QUEUED)
    assert 0 < first.delay_seconds < second.delay_seconds
    assert first.spends_attempt


def test_the_last_lost_attempt_fails_the_run() -> None:
    decision = raised(running(attempt=3, max_attempts=3), ReplicaLost("x"))
    assert decision.status == RunStatus.FAILED
    assert decision.error is not None
    assert decision.error.code == "replica_lost"


@pytest.mark.parametrize("error", [Overloaded("x", "", None, 7.0), ModelUnavailable("x", "", None, 7.0)])
def test_a_model_that_takes_no_call_costs_no_attempt(error: Exception) -> None:
    decision = raised(running(attempt=3, max_attempts=3), error, admitted=False)
    assert decision.status == RunStatus.QUEUED
    assert not decision.spends_attempt
    assert decision.delay_seconds >= 7.0


def test_a_model_that_cannot_start_fails_its_runs_with_the_reason() -> None:
    decision = raised(running(), ModelUnavailable("Its weights are a pickle.", "model_failed"), admitted=False)
    assert decision.status == RunStatus.FAILED
    assert decision.error == lifecycle.RunError(code="model_failed", message="Its weights are a pickle.")


def test_a_run_that_waited_long_for_its_model_knocks_less_often() -> None:
    young, old = (
        raised(running(created_ms=NOW - age_ms), ModelUnavailable("x"), admitted=False) for age_ms in (0, 100_000)
    )
    assert young.delay_seconds < 1 < 9 < old.delay_seconds <= lifecycle.MAX_BACKOFF_SECONDS * 1.25


def test_a_silent_runners_run_is_ready_at_once() -> None:
    decision = lifecycle.lease_ended(running(), NOW)
    assert (decision.status, decision.delay_seconds) == (RunStatus.QUEUED, 0.0)


def test_a_run_that_takes_its_runners_down_fails_in_the_end() -> None:
    assert lifecycle.lease_ended(running(attempt=3, max_attempts=3), NOW).status == RunStatus.FAILED


@given(
    attempt=st.integers(1, 5),
    is_canceled=st.booleans(),
    is_late=st.booleans(),
    error=st.sampled_from([None, ReplicaLost("x"), Overloaded("x"), ModelUnavailable("x")]),
)
def test_a_run_that_is_canceled_or_late_never_goes_back_to_the_queue(
    attempt: int, is_canceled: bool, is_late: bool, error: Exception | None
) -> None:
    run = running(attempt=attempt, cancel_requested=is_canceled, deadline_ms=NOW - 1 if is_late else None)
    decision = raised(run, error, admitted=False) if error else lifecycle.lease_ended(run, NOW)
    assert lifecycle.may(RunStatus.RUNNING, decision.status)
    if is_canceled:
        assert decision.status == RunStatus.CANCELED
    elif is_late:
        assert decision.error is not None
        assert decision.error.code == "deadline_exceeded"
