"""What a browser is told about the page: what it may load, and who may put it in a frame."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src 'self' blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Scripts and styles are files of this origin: no `unsafe-inline`, no `unsafe-eval`, and no text that becomes markup.
Pictures come from this origin or were made in the page (masks, previews)."""

_UNUSED = "accelerometer camera display-capture geolocation gyroscope microphone payment usb"
_PERMISSIONS = ", ".join(f"{name}=()" for name in _UNUSED.split())

PAGE_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": _PERMISSIONS,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Of the document. `x-content-type-options` goes with every answer of the gateway."""

FILE_HEADERS = {
    # A picture or a script that is opened by itself is a document, too.
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
}
"""Of everything else."""
