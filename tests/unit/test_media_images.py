"""Strangers' pictures: what is taken, what is refused and how fast; and what our own files carry."""

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from fakes.effort import effort
from PIL import Image

from serve.domain.errors import InvalidRequest
from serve.domain.images import ImageFormat
from serve.media.images import (
    MEDIA_TYPES,
    PREVIEW_BYTES,
    ImageInfo,
    check_mask,
    decode,
    decode_mask,
    encode,
    encode_preview,
    inspect,
    mask_of_transparency,
    mask_pixels,
    pixels,
)
from serve.media.metadata import read_metadata

MAX_PIXELS = 1 << 20
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def corners() -> Image.Image:
    """16 x 8 pixels: the left upper quarter red, the right upper green, below blue."""
    image = Image.new("RGB", (16, 8), BLUE)
    image.paste(RED, (0, 0, 8, 4))
    image.paste(GREEN, (8, 0, 16, 4))
    return image


def noise(size: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes, width: int = 2, height: int = 2) -> bytes:
    """An 8-bit RGB PNG with these chunks between its header and its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(6) for _ in range(2))))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def webp_that_says(width: int, height: int) -> bytes:
    """A WebP whose canvas is said to be of another size than its frame."""
    frame = saved(noise(16), "WEBP")[12:]
    extent = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4) + extent + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_with_two_sizes() -> bytes:
    data = saved(noise(16), "JPEG")
    at = data.index(b"\xff\xc0")
    (length,) = struct.unpack_from(">H", data, at + 2)
    frame = data[at : at + 2 + length]
    return data[:at] + frame + data[at:]


def jpeg_of_scans(num_more: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: 59 bytes each, and each goes over all the pixels."""
    data = saved(Image.new("L", (1000, 1000), 77), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * num_more + data[-2:]


ZEROS = zlib.compress(bytes(200 << 20), 9)
BOMB_PROFILE = chunk(b"iCCP", b"p\0\0" + ZEROS)
BOMB_TEXT = chunk(b"zTXt", b"t\0\0" + ZEROS)
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"

REFUSED: dict[str, tuple[Callable[[], bytes] | bytes, str]] = {
    "nothing": (b"", "unsupported_image"),
    "text": (b"a red circle", "unsupported_image"),
    "an SVG called PNG": (SVG, "unsupported_image"),
    "a GIF": (lambda: saved(corners(), "GIF"), "unsupported_image"),
    "a TIFF": (lambda: saved(corners(), "TIFF"), "unsupported_image"),
    "a BMP": (lambda: saved(corners(), "BMP"), "unsupported_image"),
    "a PDF": (lambda: saved(corners(), "PDF"), "unsupported_image"),
    "a PNG's signature alone": (b"\x89PNG\r\n\x1a\n", "unreadable_image"),
    "a JPEG's signature alone": (b"\xff\xd8\xff", "unreadable_image"),
    "a WebP's signature alone": (b"RIFF\0\0\0\0WEBPVP8X", "unreadable_image"),
    "a WebP of an unknown kind": (b"RIFF\0\0\0\0WEBPVP9 " + bytes(20), "unreadable_image"),
    "a JPEG with rubbish for markers": (b"\xff\xd8\xff" + b"\xe0\0\4ab" + b"rubbish", "unreadable_image"),
    "a JPEG that says its size twice": (jpeg_with_two_sizes, "unreadable_image"),
    "a PNG without pixels": (lambda: png_with(width=0), "unreadable_image"),
    "a PNG of 50,000 x 50,000": (lambda: png_with(width=50_000, height=50_000), "image_too_large"),
    "a PNG that is very long": (lambda: png_with(width=1 << 31, height=1), "image_too_large"),
    "a PNG larger than its pixels": (lambda: png_with(width=500, height=500), "unreadable_image"),
    "a WebP of 16,000 x 16,000": (lambda: webp_that_says(16_000, 16_000), "image_too_large"),
    "a WebP larger than its frame": (lambda: webp_that_says(500, 500), "unreadable_image"),
    "a bomb of text in a PNG": (lambda: png_with(BOMB_TEXT), "unreadable_image"),
    "a bomb of a profile in a PNG": (lambda: png_with(BOMB_PROFILE), "unreadable_image"),
    "a PNG of a million chunks": (lambda: png_with(chunk(b"abCd", b"") * 300_000), "unreadable_image"),
    "a PNG with as many behind its pixels": (
        lambda: png_with()[:-12] + chunk(b"abCd", b"") * 300_000,
        "unreadable_image",
    ),
    "a PNG whose pixels come in a million pieces": (
        lambda: png_with(chunk(b"IDAT", b"") * 300_000),
        "unreadable_image",
    ),
    "a JPEG of a million segments": (
        lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 300_000 + saved(corners(), "JPEG")[2:],
        "unreadable_image",
    ),
    "a JPEG of padding": (b"\xff\xd8" + b"\xff" * (8 << 20), "unreadable_image"),
    "a JPEG of ten thousand scans": (lambda: jpeg_of_scans(10_000), "unreadable_image"),
    "a PNG with a wrong checksum": (lambda: png_with().replace(b"IDAT", b"IDAT\1", 1), "unreadable_image"),
}


@pytest.mark.parametrize(("data", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_good_picture_is_refused_quickly(data: Callable[[], bytes] | bytes, code: str) -> None:
    content = data if isinstance(data, bytes) else data()
    with effort() as spent, pytest.raises(InvalidRequest) as caught:
        decode(content, max_pixels=MAX_PIXELS, param="image")
    assert (caught.value.code, caught.value.param) == (code, "image")
    assert caught.value.message.startswith("image ")
    assert spent.seconds < 1


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_the_media_type_is_known_before_the_decoder_has_loaded_its_plugins(
    format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MIME", {})
    info = inspect(saved(noise(), format), max_pixels=MAX_PIXELS, param="image")
    assert info.media_type == f"image/{format.lower()}"


def test_a_progressive_jpeg_and_one_with_padding_are_pictures() -> None:
    progressive = saved(noise(), "JPEG", progressive=True, quality=95)
    assert progressive.count(b"\xff\xda") > 3
    assert decode(progressive, max_pixels=MAX_PIXELS, param="image").size == (64, 64)
    padded = b"\xff\xd8" + b"\xff" * 3 + saved(corners(), "JPEG")[2:]
    assert decode(padded, max_pixels=MAX_PIXELS, param="image").size == (16, 8)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_short_is_refused(format: str, share: float) -> None:
    data = saved(noise(), format, quality=95)
    with pytest.raises(InvalidRequest) as caught:
        decode(data[: int(len(data) * share)], max_pixels=MAX_PIXELS, param="mask")
    assert caught.value.code in ("unreadable_image", "unsupported_image")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_any_damage_is_our_error_or_none(format: str) -> None:
    """Bytes overwritten at random: whatever the decoder makes of them, no other exception comes out."""
    whole, rng = saved(noise(16), format), np.random.default_rng(7)
    for _ in range(200):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), 3):
            damaged[at] = rng.integers(0, 256)
        for read in (inspect, decode):
            with suppress(InvalidRequest):
                read(bytes(damaged), max_pixels=MAX_PIXELS, param="image")


@pytest.mark.parametrize("format", list(ImageFormat))
def test_the_header_tells_type_and_size(format: ImageFormat) -> None:
    data = encode(corners(), format)
    assert inspect(data, max_pixels=128, param="image") == ImageInfo(MEDIA_TYPES[format], 16, 8)
    with pytest.raises(InvalidRequest, match="image is 16 x 8 pixels; at most 127 pixels are taken") as caught:
        inspect(data, max_pixels=127, param="image")
    assert caught.value.code == "image_too_large"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_one_pixel_is_a_picture(format: str) -> None:
    data = saved(Image.new("RGB", (1, 1), RED), format, quality=100)
    assert decode(data, max_pixels=1, param="image").size == (1, 1)
    assert inspect(data, max_pixels=1, param="image").width == 1


def grey16() -> bytes:
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(1, 256)
    return saved(Image.fromarray(ramp), "PNG")


def left(image: Image.Image) -> tuple[int, ...]:
    pixel = image.getpixel((0, 0))
    return pixel if isinstance(pixel, tuple) else (int(pixel or 0),)


MODES: dict[str, tuple[Image.Image, str, tuple[int, ...]]] = {
    "CMYK": (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", RED),
    "grey": (Image.new("L", (8, 8), 77), "JPEG", (77, 77, 77)),
    "black and white": (Image.new("1", (8, 8), 1), "PNG", (255, 255, 255)),
    "palette": (Image.new("RGB", (8, 8), GREEN).quantize(4), "PNG", GREEN),
    "grey with alpha": (Image.new("LA", (8, 8), (0, 0)), "PNG", (255, 255, 255)),
    "transparent": (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), "PNG", (255, 255, 255)),
    "half transparent": (Image.new("RGBA", (8, 8), (255, 0, 0, 128)), "PNG", (255, 127, 127)),
    "half transparent WebP": (Image.new("RGBA", (8, 8), (255, 0, 0, 128)), "WEBP", (255, 127, 127)),
}


@pytest.mark.parametrize(("image", "format", "expected"), MODES.values(), ids=MODES)
def test_every_mode_becomes_rgb(image: Image.Image, format: str, expected: tuple[int, ...]) -> None:
    decoded = decode(saved(image, format, lossless=True), max_pixels=64, param="image")
    assert decoded.mode == "RGB"
    assert max(abs(a - b) for a, b in zip(left(decoded), expected, strict=True)) <= 2


def test_a_transparent_colour_of_a_palette_is_white() -> None:
    image = Image.new("P", (2, 2), 3)
    image.putpalette([*RED, *GREEN, *BLUE, *RED])
    data = saved(image, "PNG", transparency=3)
    assert left(decode(data, max_pixels=4, param="image")) == (255, 255, 255)


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    decoded = np.asarray(decode(grey16(), max_pixels=256, param="image"))[0, :, 0]
    assert (decoded == np.arange(256)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_turned_upright(format: str, orientation: int) -> None:
    """The file stores the picture turned, and says how: decoding gives it back."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that undoes each, as PIL numbers them
    upright = corners().resize((64, 32), Image.Resampling.NEAREST)
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(stored, format, exif=exif.tobytes(), quality=100)
    decoded = decode(data, max_pixels=1 << 14, param="image")
    assert decoded.size == (64, 32)
    info = inspect(data, max_pixels=1 << 14, param="image")
    assert (info.width, info.height) == (64, 32)
    within = (slice(4, None, 8), slice(4, None, 8))
    assert np.abs(np.asarray(decoded, np.int16)[within] - np.asarray(upright, np.int16)[within]).max() < 8


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_a_broken_block_of_exif_turns_nothing(exif: bytes) -> None:
    data = saved(corners(), "JPEG")
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert inspect(data, max_pixels=128, param="image").width == 16


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_of_an_animation_the_first_frame_is_taken(format: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], duration=50, lossless=True)
    decoded = decode(data, max_pixels=64, param="image")
    assert left(decoded) == RED


def test_a_mask_is_grey_and_keeps_what_is_transparent() -> None:
    drawn = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    drawn.putpixel((1, 0), (255, 255, 255, 255))
    mask = decode_mask(saved(drawn, "PNG"), max_pixels=2, param="mask")
    assert mask.mode == "L"
    assert mask.tobytes() == b"\x00\xff"


def test_pictures_and_masks_come_as_arrays() -> None:
    image = saved(corners(), "PNG")
    assert pixels(image, max_pixels=128, param="image").shape == (8, 16, 3)
    array = mask_pixels(image, max_pixels=128, param="mask")
    assert (array.shape, array.dtype) == ((8, 16), np.uint8)
    assert array.flags.writeable


def test_holes_become_a_mask() -> None:
    holed = Image.new("RGBA", (2, 1), (9, 9, 9, 255))
    holed.putpixel((1, 0), (9, 9, 9, 0))
    mask = mask_of_transparency(saved(holed, "PNG"), max_pixels=2, param="mask")
    assert mask is not None
    assert mask.tobytes() == b"\x00\xff"
    assert mask_of_transparency(saved(corners(), "PNG"), max_pixels=128, param="mask") is None
    opaque = Image.new("RGBA", (2, 1), (9, 9, 9, 255))
    assert mask_of_transparency(saved(opaque, "PNG"), max_pixels=2, param="mask") is None


def test_a_mask_of_another_size_is_refused() -> None:
    image = ImageInfo("image/png", 16, 8)
    check_mask(image, image, "mask")
    with pytest.raises(InvalidRequest, match="mask is 8 x 16 pixels, and the image is 16 x 8") as caught:
        check_mask(image, ImageInfo("image/png", 8, 16), "mask")
    assert (caught.value.code, caught.value.param) == ("mask_size_mismatch", "mask")


METADATA = {
    "plain": {"parameters": "a red circle\nSteps: 25, Sampler: euler"},
    "of every language": {"parameters": "ein roter Kreis: 赤い円 🔴"},
    "that looks like JSON": {"parameters": '{"a": "b"}'},
    "several": {"parameters": "a cat", "slipway": '{"seed": 1}'},
    "none": {},
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA)
@pytest.mark.parametrize("format", list(ImageFormat))
def test_metadata_survives_in_every_format(format: ImageFormat, metadata: dict[str, str]) -> None:
    data = encode(corners(), format, 90, metadata)
    assert read_metadata(data) == metadata
    assert decode(data, max_pixels=128, param="image").size == (16, 8)


@pytest.mark.parametrize("format", list(ImageFormat))
@pytest.mark.parametrize("text", ["円" * 40_000, "a" * 100_000, "a\0b\ud800c"], ids=["wide", "long", "unstorable"])
def test_metadata_that_no_file_holds_is_fitted(format: ImageFormat, text: str) -> None:
    found = read_metadata(encode(corners(), format, 90, {"parameters": text}))["parameters"]
    assert found == "ab\N{REPLACEMENT CHARACTER}c" if "\0" in text else text.startswith(found) and len(found) > 10_000


def test_what_has_no_metadata_reads_as_empty() -> None:
    assert read_metadata(b"a") == read_metadata(b"\x89PNG\r\n\x1a\n") == read_metadata(saved(corners(), "JPEG")) == {}


@pytest.mark.parametrize(("format", "quality"), [(ImageFormat.PNG, 1), (ImageFormat.WEBP, 100)])
def test_lossless_formats_keep_every_pixel(format: ImageFormat, quality: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
    decoded = decode(encode(pixels, format, quality), max_pixels=MAX_PIXELS, param="image")
    assert (np.asarray(decoded) == pixels).all()


def test_quality_trades_bytes() -> None:
    for format in (ImageFormat.JPEG, ImageFormat.WEBP):
        sizes = [len(encode(noise(), format, quality)) for quality in (10, 60, 95)]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2] / 2


def test_a_preview_fits_a_message() -> None:
    assert len(encode_preview(noise(64))) <= PREVIEW_BYTES
    large = encode_preview(np.random.default_rng(2).integers(0, 256, (1024, 1024, 3), np.uint8))
    assert len(large) <= PREVIEW_BYTES
    assert inspect(large, max_pixels=1 << 20, param="image").media_type == "image/jpeg"
