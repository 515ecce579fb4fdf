"""Pictures: looking at a file's header, decoding it within bounds, encoding one with its parameters inside.

PNG, JPEG and WebP only, told apart by their first bytes and never by a name or a media type. Every function blocks:
call them in a thread.
"""

import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from serve.domain.errors import InvalidRequest
from serve.domain.images import ImageFormat
from serve.media.headers import Header, Malformed, read_header
from serve.media.metadata import exif_of, png_text

MEDIA_TYPES: dict[ImageFormat, str] = {
    ImageFormat.PNG: "image/png",
    ImageFormat.JPEG: "image/jpeg",
    ImageFormat.WEBP: "image/webp",
}
MAX_SIDE = 16_383
"""Of any file that is decoded: WebP's own limit."""
MAX_PIXELS = 64 * 2**20
"""Of any file that is decoded, whatever the caller allows: below the size at which the decoder itself protests."""
PREVIEW_BYTES = 64 * 1024
_FULL_CHROMA_QUALITY = 90
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What a file declares: width and height in pixels, as the picture is looked at (orientation applied)."""

    media_type: str
    width: int
    height: int


Picture = Image.Image | NDArray[np.uint8]
"""An array is [height, width, 3], or [height, width] for grey."""


def inspect(data: bytes, *, max_pixels: int, param: str) -> ImageInfo:
    """What `data` declares, from its header alone; `param` names the input in errors.

    Raises:
        InvalidRequest: `unsupported_image`, `unreadable_image`, `image_too_large`.
    """
    header = _header(data, max_pixels, param)
    return ImageInfo(MEDIA_TYPES[ImageFormat(header.format.lower())], *header.upright_size)


def check_mask(image: ImageInfo, mask: ImageInfo, param: str) -> None:
    """Raises InvalidRequest: `mask_size_mismatch`."""
    if (image.width, image.height) != (mask.width, mask.height):
        raise InvalidRequest(
            f"{param} is {mask.width} x {mask.height} pixels, and the image is {image.width} x {image.height}: "
            "a mask is as large as its image",
            "mask_size_mismatch",
            param,
        )


def decode(data: bytes, *, max_pixels: int, param: str) -> Image.Image:
    """The picture as 8-bit RGB, upright, its transparent parts on white; of an animation the first frame.

    Colour profiles are ignored: reading strangers' profiles is a risk for a shade.

    Raises:
        InvalidRequest: as `inspect`, and `unreadable_image` for what is cut short or damaged.
    """
    return _flattened(_loaded(data, max_pixels, param), _WHITE).convert("RGB")


def decode_mask(data: bytes, *, max_pixels: int, param: str) -> Image.Image:
    """A mask as 8-bit grey, upright; transparent parts are black, which is kept. Raises as `decode`."""
    return _flattened(_loaded(data, max_pixels, param), _BLACK).convert("L")


def decode_whole(data: bytes, *, max_pixels: int, param: str) -> Image.Image:
    """A picture with its transparency, upright: 8-bit grey, RGB, or RGBA where any of it may be transparent. Raises as
    `decode`."""
    image = _loaded(data, max_pixels, param)
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def pixels(data: bytes, *, max_pixels: int, param: str) -> NDArray[np.uint8]:
    """`decode` as an array [height, width, 3]."""
    return np.array(decode(data, max_pixels=max_pixels, param=param))


def mask_pixels(data: bytes, *, max_pixels: int, param: str) -> NDArray[np.uint8]:
    """`decode_mask` as an array [height, width]."""
    return np.array(decode_mask(data, max_pixels=max_pixels, param=param))


def mask_of_transparency(data: bytes, *, max_pixels: int, param: str) -> Image.Image | None:
    """Where a picture is transparent as a mask (white), upright; None if it is opaque throughout. Raises as `decode`.

    For APIs whose masks are holes (OpenAI's `images/edits`).
    """
    image = _loaded(data, max_pixels, param)
    if not image.has_transparency_data:
        return None
    holes = ImageOps.invert(image.convert("RGBA").getchannel("A"))
    return holes if holes.getbbox() else None


def _header(data: bytes, max_pixels: int, param: str) -> Header:
    try:
        header = read_header(data)
    except Malformed as error:
        raise _unreadable(param, str(error)) from None
    if header is None:
        raise InvalidRequest(
            f"{param} is no PNG, JPEG or WebP file; its first bytes decide, not its name", "unsupported_image", param
        )
    if header.width < 1 or header.height < 1:
        raise _unreadable(param, "declares a picture without pixels")
    limit = min(max_pixels, MAX_PIXELS)
    if header.width * header.height > limit or max(header.width, header.height) > MAX_SIDE:
        raise InvalidRequest(
            f"{param} is {header.width} x {header.height} pixels; at most {limit} pixels are taken",
            "image_too_large",
            param,
        )
    return header


def _unreadable(param: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{param} cannot be read as a picture: the file {why}", "unreadable_image", param)


def _loaded(data: bytes, max_pixels: int, param: str) -> Image.Image:
    """The first frame, upright, in the file's own mode."""
    header = _header(data, max_pixels, param)
    try:
        image = Image.open(io.BytesIO(data), formats=[header.format])
        is_declared = image.size == (header.width, header.height)
        if is_declared:
            image.load()
    except Exception:
        # Damaged files raise whatever the decoder stumbles over: OSError, SyntaxError, ValueError, EOFError, ...
        raise _unreadable(param, "is damaged or cut short") from None
    if not is_declared:
        raise _unreadable(param, "declares two sizes")
    turn = _UPRIGHT.get(header.orientation)
    return image if turn is None else image.transpose(turn)


def _flattened(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Without transparency, and without the modes whose conversion to 8 bits would clip."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image)
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    flat = Image.new("RGB", layer.size, background)
    flat.paste(layer, mask=layer.getchannel("A"))
    return flat


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8-bit grey; PIL's own conversion clips instead of scaling."""
    return image.convert("I").point(lambda value: value * (1 / 257) + 0.5).convert("L")


def encode(
    picture: Picture, format: ImageFormat, quality: int = 90, metadata: Mapping[str, str] | None = None
) -> bytes:
    """The file of an RGB (or grey) picture. `metadata` is text by name, which `serve.media.metadata` reads again.

    PNG is lossless, and packed by run lengths: a fifth of the time of zlib's default for the same bytes within a few
    percent (1024 x 1024: 0.1 s). JPEG from quality 90 keeps its full chroma. WebP at quality 100 is lossless.
    """
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    match format:
        case ImageFormat.PNG:
            image.save(stream, "PNG", compress_type=zlib.Z_RLE, pnginfo=png_text(metadata or {}))
        case ImageFormat.JPEG:
            subsampling = 0 if quality >= _FULL_CHROMA_QUALITY else 2
            image.save(stream, "JPEG", quality=quality, subsampling=subsampling, exif=exif_of(metadata or {}))
        case ImageFormat.WEBP:
            is_lossless = quality == 100
            effort = (
                {"lossless": True, "quality": 25, "method": 1} if is_lossless else {"quality": quality, "method": 2}
            )
            image.save(stream, "WEBP", exif=exif_of(metadata or {}), **effort)
    return stream.getvalue()


def encode_preview(picture: Picture) -> bytes:
    """A JPEG of at most PREVIEW_BYTES: smaller and coarser until it fits."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    quality = 80
    while len(data := encode(image, ImageFormat.JPEG, quality)) > PREVIEW_BYTES:
        if quality > 40:
            quality -= 20
        else:
            image = image.resize((max(1, image.width // 2), max(1, image.height // 2)))
    return data
