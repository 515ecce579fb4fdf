"""Pictures on their way in and out: sizes, masks and margins. No network is asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deployments.engines.diffusion import canvas
from deployments.engines.diffusion.request import Pixels, Source
from serve.domain.errors import InvalidRequest

sides = st.integers(1, 100)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Pixels, Pixels]:
    """A picture and a mask of its size."""
    height, width = draw(sides), draw(sides)
    return picture(height, width, draw(st.integers(0, 9))), draw(arrays.arrays(np.uint8, (height, width)))


def picture(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def painted_for(source: Source) -> Pixels:
    return picture(*source.image.shape[:2], seed=77)


@given(pictures())
def test_pixels_that_a_mask_keeps_stay_as_they_were(given_: tuple[Pixels, Pixels]) -> None:
    image, mask = given_
    source, finish = canvas.source_of(image, mask, strength=0.8)
    result = finish.apply(painted_for(source))
    assert result.shape == image.shape
    assert np.array_equal(result[mask == 0], image[mask == 0])
    assert np.array_equal(result[mask == 255], painted_for(source)[: len(image), : image.shape[1]][mask == 255])


@given(pictures())
def test_a_grey_mask_blends(given_: tuple[Pixels, Pixels]) -> None:
    image, mask = given_
    source, finish = canvas.source_of(image, mask, strength=0.8)
    share = mask[..., None] / 255
    expected = share * painted_for(source)[: len(image), : image.shape[1]] + (1 - share) * image
    assert np.abs(finish.apply(painted_for(source)) - expected).max() <= 0.51


@given(pictures(), st.tuples(*[st.integers(0, 40)] * 4), st.booleans())
def test_work_is_done_in_multiples_of_8_and_at_64_or_more(
    given_: tuple[Pixels, Pixels], margins: tuple[int, int, int, int], is_masked: bool
) -> None:
    image, mask = given_
    source, finish = canvas.source_of(image, mask if is_masked else None, strength=0.8, margins=margins)
    height, width = source.image.shape[:2]
    assert height % 8 == width % 8 == 0
    assert min(height, width) >= 64
    assert source.mask is None or source.mask.shape == (height, width)
    assert finish.apply(painted_for(source)).shape == (finish.height, finish.width, 3)


def test_without_a_mask_the_result_has_the_size_worked_in() -> None:
    source, finish = canvas.source_of(picture(61, 131), None, strength=0.5)
    assert source.image.shape == (64, 136, 3)
    assert np.array_equal(finish.apply(painted_for(source)), painted_for(source))


def test_a_picture_of_a_good_size_is_taken_as_it_is() -> None:
    source, _ = canvas.source_of(picture(64, 128), None, strength=0.5)
    assert np.array_equal(source.image, picture(64, 128))


def test_a_size_that_is_asked_for_is_given() -> None:
    source, finish = canvas.source_of(picture(50, 200), None, width=96, height=64, strength=0.5)
    assert source.image.shape == (64, 96, 3)
    assert finish.apply(painted_for(source)).shape == (64, 96, 3)


def test_with_a_size_that_is_asked_for_the_mask_is_resized_too() -> None:
    mask = np.zeros((50, 200), np.uint8)
    mask[:, 100:] = 255
    source, finish = canvas.source_of(picture(50, 200), mask, width=96, height=64, strength=0.5)
    result = finish.apply(painted_for(source))
    assert np.array_equal(result[:, :40], canvas.fit(picture(50, 200), 96, 64)[:, :40])
    assert np.array_equal(result[:, 56:], painted_for(source)[:, 56:])


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="the mask is 20 x 10 pixels, the image 30 x 10") as refused:
        canvas.source_of(picture(10, 30), np.zeros((10, 20), np.uint8), strength=0.5)
    assert (refused.value.code, refused.value.param) == ("mask_size_mismatch", "mask")


def test_margins_are_painted_and_the_picture_stays() -> None:
    image = picture(70, 90)
    source, finish = canvas.source_of(image, None, strength=1.0, margins=(32, 0, 16, 8))
    result = finish.apply(painted_for(source))
    assert source.is_outpainted
    assert result.shape == (94, 122, 3)
    kept = (slice(16, 54), slice(16, 90))
    assert np.array_equal(result[16:86, 32:122][kept], image[kept])
    assert np.array_equal(result[:, :32], painted_for(source)[:94, :32])
    assert np.array_equal(result[:16], painted_for(source)[:16, :122])


def test_a_margin_continues_the_edge_and_meets_the_picture_softly() -> None:
    image, mask = canvas.extend(picture(40, 80), 8, 0, 0, 0)
    assert np.array_equal(image[:, :8], np.repeat(picture(40, 80)[:, :1], 8, axis=1))
    assert (mask[:, :8] == 255).all()
    assert (mask[:, 24:] == 0).all()
    assert (np.diff(mask[0, 7:25].astype(int)) < 0).all()
    assert (mask[:, 12] >= 128).all()


def test_margins_and_a_mask_are_painted_both() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[40:50, 40:50] = 255
    source, _ = canvas.source_of(picture(64, 64), mask, strength=1.0, margins=(0, 8, 0, 0))
    assert source.mask is not None
    assert (source.mask[40:50, 40:50] == 255).all()
    assert (source.mask[:, 64:72] == 255).all()
    assert (source.mask[:40, :40] == 0).all()


def test_composing_without_a_finish_keeps_what_the_mask_keeps() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:10] = 255
    source = Source(picture(64, 64), 0.5, mask)
    result = canvas.compose(source, painted_for(source))
    assert np.array_equal(result[10:], source.image[10:])
    assert np.array_equal(result[:10], painted_for(source)[:10])
    assert canvas.compose(Source(picture(64, 64), 0.5), result) is result
