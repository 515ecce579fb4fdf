"""Rules of image calls that the gateway and the engine both have: they are the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.engines.diffusion.canvas import work_size
from deployments.engines.diffusion.samplers import prepare
from serve.domain.errors import InvalidRequest
from serve.domain.images import MAX_STEPS_OF, ImageToImageInput, Sampler

SIDES = st.integers(1, 16_383)
MARGINS = st.integers(0, 1024)


@settings(deadline=None)
@given(SIDES, SIDES, MARGINS, MARGINS, MARGINS, MARGINS)
def test_the_gateway_judges_the_size_that_the_engine_works_in(
    width: int, height: int, left: int, right: int, top: int, bottom: int
) -> None:
    asked = ImageToImageInput(
        prompt="", image="asset:a", outpaint_left=left, outpaint_right=right, outpaint_top=top, outpaint_bottom=bottom
    )
    assert asked.result_size(width, height) == work_size(width + left + right, height + top + bottom)


@settings(deadline=None)
@given(st.integers(8, 256), st.integers(8, 256), SIDES, SIDES)
def test_a_size_that_is_asked_for_is_the_size_worked_in(columns: int, rows: int, width: int, height: int) -> None:
    asked = ImageToImageInput(prompt="", image="asset:a", width=columns * 8, height=rows * 8)
    assert asked.result_size(width, height) == work_size(columns * 8, rows * 8) == (columns * 8, rows * 8)


@pytest.mark.parametrize(("sampler", "most"), MAX_STEPS_OF.items())
def test_the_gateway_takes_as_many_steps_as_a_sampler_makes(sampler: Sampler, most: int) -> None:
    assert prepare(sampler, {}, most).num_steps == most
    with pytest.raises(InvalidRequest, match=f"at most {most}"):
        prepare(sampler, {}, most + 1)
