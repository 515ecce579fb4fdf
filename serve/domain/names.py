"""Names and identifiers: what they look like, and the types that keep them apart."""

import re
from typing import Annotated, NewType

from pydantic import AfterValidator, StringConstraints

TenantName = NewType("TenantName", str)
ProjectName = NewType("ProjectName", str)
KeyId = NewType("KeyId", str)
RunId = NewType("RunId", str)
RequestId = NewType("RequestId", str)
AssetId = NewType("AssetId", str)

MAX_NAME_LENGTH = 40
"""Characters. Short enough that Kubernetes' 63-character labels hold a name and a suffix of ours."""

_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def dns_label(value: str) -> str:
    """`value`, if it is a DNS label of at most 40 characters.

    Raises:
        ValueError: with a sentence that says what a name may hold.
    """
    if len(value) > MAX_NAME_LENGTH or not _DNS_LABEL.fullmatch(value):
        raise ValueError(
            f"a name holds lower-case letters, digits and inner hyphens, at most {MAX_NAME_LENGTH}: {value[:80]!r}"
        )
    return value


def sha256_digest(value: str) -> str:
    """`value`, if it reads `sha256:` and 64 hexadecimal digits.

    Raises:
        ValueError: otherwise.
    """
    if not _DIGEST.fullmatch(value):
        raise ValueError(f"a digest reads sha256: and 64 hexadecimal digits: {value[:80]!r}")
    return value


Name = Annotated[str, AfterValidator(dns_label)]
Digest = Annotated[str, AfterValidator(sha256_digest)]
OpaqueString = Annotated[str, StringConstraints(max_length=512)]
"""A client's own string that we store and give back, and never interpret."""
