"""What uploaded bytes are, by their own signature, and how they are given back without running anywhere."""

_SIGNATURES = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (4, b"ftyp", "video/mp4"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_DECLARABLE = frozenset({"application/json", "text/plain"})
"""Kinds without a signature. Neither runs in a browser while `nosniff` is said."""

OCTET_STREAM = "application/octet-stream"
INLINE = frozenset({"image/png", "image/jpeg", "image/webp"})
"""What a browser may show in place; the rest is a download."""
SIGNATURE_BYTES = 16


def kept_media_type(declared: str, head: bytes) -> str:
    """The media type to store for content that begins with `head`: never a kind that a browser would run.

    Signatures decide; what the client declares counts only where there is none, and only for JSON and plain text.
    """
    for offset, signature, media_type in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return media_type
    if head[:4] == b"RIFF" and head[8:12] in _RIFF:
        return _RIFF[head[8:12]]
    bare = declared.partition(";")[0].strip().lower()
    return bare if bare in _DECLARABLE else OCTET_STREAM
