"""Kubernetes quantities, as documents and the API server write them."""

import pytest

from serve.domain.quantities import amount, quantity, whole


@pytest.mark.parametrize(
    ("text", "number"),
    [("512", 512), ("1Ki", 1024), ("2Gi", 2**31), ("1.5Gi", 1610612736), ("3k", 3000), ("1P", 10**15)],
)
def test_suffixes_are_powers_of_1000_or_1024(text: str, number: int) -> None:
    assert whole(text) == number


def test_equal_amounts_are_equal_however_they_are_written() -> None:
    assert quantity("1.5Gi") == quantity("1536Mi")
    assert quantity("0.5") == quantity("500m") == quantity(0.5)


def test_a_part_of_a_processor_is_a_whole_one_where_ray_counts() -> None:
    assert whole("500m") == 1


@pytest.mark.parametrize("value", ["nvidia", "", "-1", "1GiB", True, None, ["1"]])
def test_what_is_none_is_none(value: object) -> None:
    assert quantity(value) is None


def test_a_text_that_has_to_be_one_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'lots' is no quantity"):
        amount("lots")
