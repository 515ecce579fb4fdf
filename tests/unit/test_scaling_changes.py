"""What the scaling decided last, handed from the controller to the gateways."""

from collections.abc import Mapping

from deployments.scaling_changes import KEPT, ScalingChanges, read_changes, write_change
from serve.domain.serving import ScalingChange


class Shelf:
    """A head's store in memory."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.values[key] = value

    def with_prefix(self, prefix: bytes) -> Mapping[bytes, bytes]:
        return {key: value for key, value in self.values.items() if key.startswith(prefix)}


class Broken(Shelf):
    def with_prefix(self, prefix: bytes) -> Mapping[bytes, bytes]:
        raise RuntimeError("the head is away")


def change(number: int, reason: str = "work arrives") -> ScalingChange:
    return ScalingChange(1000 * number, number, number + 1, reason)


def test_the_newest_come_first_and_the_oldest_go():
    shelf = Shelf()
    for number in range(KEPT + 3):
        write_change(shelf, "echo", change(number))
    write_change(shelf, "other", change(0))
    found = read_changes(shelf)
    assert found["echo"] == tuple(change(number) for number in reversed(range(3, KEPT + 3)))
    assert found["other"] == (change(0),)


def test_a_long_reason_is_cut():
    shelf = Shelf()
    write_change(shelf, "echo", change(0, "x" * 10_000))
    assert len(read_changes(shelf)["echo"][0].reason) == 512


async def test_a_head_that_is_away_holds_nothing_up():
    shelf = Shelf()
    write_change(shelf, "echo", change(1))
    assert await ScalingChanges(shelf).current() == {"echo": (change(1),)}
    assert await ScalingChanges(Broken()).current() == {}
