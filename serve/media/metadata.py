"""What a picture's file says of how it was made: text by name.

    PNG          one text chunk per name (tEXt, or iTXt where the text is not Latin-1)
    JPEG, WebP   Exif's UserComment: the text of `parameters` alone as it is, anything more as a JSON object

`parameters` is the name that image tools read and write.
"""

import io
import json
from collections.abc import Mapping

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from serve.media.headers import Malformed, read_header

PARAMETERS = "parameters"
_MAX_EXIF_BYTES = 60_000
"""JPEG's segments end at 64 KiB."""
_EXIF_IFD, _USER_COMMENT, _SOFTWARE = 0x8769, 0x9286, 0x0131
_ASCII, _UNICODE = b"ASCII\0\0\0", b"UNICODE\0"


def png_text(metadata: Mapping[str, str]) -> PngInfo:
    """Text chunks for `metadata`."""
    info = PngInfo()
    for name, text in metadata.items():
        info.add_text(name, _clean(text))
    return info


def exif_of(metadata: Mapping[str, str]) -> bytes:
    """A block of Exif for `metadata`; empty for none. Text that no segment holds is cut at its end."""
    if not metadata:
        return b""
    exif = Image.Exif()
    exif[_SOFTWARE] = "Slipway"
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _comment(metadata)
    return exif.tobytes()


def _comment(metadata: Mapping[str, str]) -> bytes:
    cleaned = {name: _clean(text) for name, text in metadata.items()}
    room = _MAX_EXIF_BYTES
    while True:
        comment = _encoded(_comment_text(cleaned))
        if len(comment) <= _MAX_EXIF_BYTES:
            return comment
        room //= 2
        cleaned = {name: text[: room // len(cleaned)] for name, text in cleaned.items()}


def _comment_text(metadata: Mapping[str, str]) -> str:
    alone = metadata.get(PARAMETERS, "{") if len(metadata) == 1 else "{"
    return json.dumps(metadata, ensure_ascii=False) if alone.startswith("{") else alone


def _encoded(text: str) -> bytes:
    return _ASCII + text.encode() if text.isascii() else _UNICODE + text.encode("utf-16-be")


def _clean(text: str) -> str:
    """Without what no file format carries: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_metadata(data: bytes) -> dict[str, str]:
    """The text that `data`, a PNG, JPEG or WebP file, carries; empty for what has none or cannot be read."""
    try:
        header = read_header(data)
        if header is None:
            return {}
        with Image.open(io.BytesIO(data), formats=[header.format]) as image:
            if header.format == "PNG":
                return {str(k): str(v) for k, v in image.info.items() if isinstance(v, str)}
            return _from_comment(bytes(image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")))
    except (Malformed, OSError, SyntaxError, ValueError, TypeError):
        return {}


def _from_comment(comment: bytes) -> dict[str, str]:
    charset, content = comment[:8], comment[8:]
    text = content.decode("utf-16-be" if charset == _UNICODE else "utf-8", "replace")
    if not text.startswith("{"):
        return {PARAMETERS: text} if text else {}
    try:
        found = json.loads(text)
    except ValueError:
        return {PARAMETERS: text}
    return {str(k): str(v) for k, v in found.items()}
