"""Whose turn it is."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from serve.runs.fairness import Account, Claimant, choose


def serve(account: Account, waiting: dict[str, list[str]], num: int) -> list[str]:
    """Let `num` runs through one place, one after another; each takes as long as its target says (`10` is 10 ms)."""
    served = []
    for n in range(num):
        tenant = choose(account.claimants([t for t, queue in waiting.items() if queue], {}))
        if tenant is None:
            break
        target = waiting[tenant].pop(0)
        account.charge(str(n), tenant, target)
        account.settle(str(n), float(target), is_whole=True)
        served.append(tenant)
    return served


def test_nobody_waits() -> None:
    assert choose([]) is None


def test_fewer_running_runs_go_first() -> None:
    assert choose([Claimant("a", 2, 0.0, 0), Claimant("b", 1, 900.0, 9)]) == "b"


def test_among_equals_the_one_given_less_time_goes_first() -> None:
    assert choose([Claimant("a", 1, 500.0, 0), Claimant("b", 1, 400.0, 9)]) == "b"


def test_a_new_tenant_is_next_however_much_another_has_waiting() -> None:
    account, waiting = Account(), {"greedy": ["10"] * 10_000}
    serve(account, waiting, 500)
    waiting["modest"] = ["10"]
    assert serve(account, waiting, 2)[0] == "modest"


def test_absence_earns_no_credit() -> None:
    account, waiting = Account(), {"a": ["10"] * 1000, "b": ["10"]}
    serve(account, waiting, 500)
    waiting["b"] = ["10"] * 500
    assert 45 <= Counter(serve(account, waiting, 100))["b"] <= 55


def test_time_is_shared_and_not_turns() -> None:
    account, waiting = Account(), {"long": ["1000"] * 1000, "short": ["100"] * 1000}
    served = Counter(serve(account, waiting, 550))
    assert 8 <= served["short"] / served["long"] <= 12


@given(costs=st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_no_tenant_is_ever_behind_another_by_more_than_one_run_of_each(costs: list[int]) -> None:
    account = Account()
    waiting = {f"t{i}": [str(cost)] * 200 for i, cost in enumerate(costs)}
    warm = serve(account, waiting, len(costs))
    assert set(warm) == set(waiting)
    given = Counter[str]()
    for tenant in serve(account, waiting, 150):
        given[tenant] += costs[int(tenant[1:])]
        spread = max(given[t] for t in waiting) - min(given[t] for t in waiting)
        assert spread <= 2 * max(costs) + 1000
