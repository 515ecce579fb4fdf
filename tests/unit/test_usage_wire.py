"""Usage events as JSON are the same events afterwards, and their hash is of what is charged for."""

from dataclasses import replace

import orjson
import pytest
from fakes.journals import subject
from hypothesis import given
from hypothesis import strategies as st

from serve.domain.names import RunId
from serve.domain.usage import UNITS, Basis, HoldId, PriceId, Quantities, UsageEvent, UsageStatus
from serve.metering.journal.wire import from_plain, payload_sha256, to_plain

EVENT = UsageEvent(
    subject=subject(),
    source="local/replica/e",
    seq=3,
    status=UsageStatus.SUCCEEDED,
    basis=Basis.MEASURED,
    billable=True,
    quantities=Quantities(prompt_tokens=3, completion_tokens=4),
    started_ms=5,
    duration_ms=6,
)


@given(
    st.lists(st.integers(0, 2**62), min_size=len(UNITS), max_size=len(UNITS)),
    st.sampled_from(list(UsageStatus)),
    st.sampled_from(list(Basis)),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_an_event_survives_json(values: list[int], status: UsageStatus, basis: Basis, tags: dict[str, str]) -> None:
    whose = replace(
        subject(),
        run_id=RunId("r"),
        workflow="w@1",
        node="n",
        tags=tuple(tags.items()),
        price=PriceId("p"),
        hold=HoldId("h"),
    )
    event = replace(EVENT, subject=whose, quantities=Quantities(*values), status=status, basis=basis, reason="why")
    assert from_plain(orjson.loads(orjson.dumps(to_plain(event)))) == event


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": subject(2)},
        {"status": UsageStatus.CANCELED},
        {"billable": False},
        {"reason": "platform_retry"},
        {"quantities": Quantities(prompt_tokens=4, completion_tokens=3)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_changes_a_charge_changes_the_hash(changed: dict[str, object]) -> None:
    assert payload_sha256(replace(EVENT, **changed)) != payload_sha256(EVENT)


def test_who_sent_it_when_does_not_change_the_hash() -> None:
    other = replace(EVENT, source="local/other/e", seq=9, started_ms=1, duration_ms=2, basis=Basis.CHECKPOINT)
    assert payload_sha256(other) == payload_sha256(EVENT)
