"""The written form of a key: `slw_<id>_<secret>`.

Both parts are base58 (no 0, O, I, l, so a key survives being read aloud). The id is 12 characters and may be logged.
The secret is 37 characters of randomness (216 bits) and 6 of checksum over everything before them: a token that was
mistyped, or was never a key of ours, is refused without asking the database, and secret scanners can be sure.
"""

import hashlib
import re
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from serve.domain.names import KeyId

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
NUM_ID_CHARS = 12
NUM_RANDOM_CHARS = 37
NUM_CHECKSUM_CHARS = 6
"""58**6 is more than 2**32: the whole CRC-32 fits."""

MIN_SEED_CHARS = 32
"""Of a text that a key is made from. Random letters and digits of that length hold over 160 bits."""

_B58 = f"[{ALPHABET}]"
_KEY_ID = re.compile(f"{_B58}{{{NUM_ID_CHARS}}}")
_TOKEN = re.compile(f"slw_({_B58}{{{NUM_ID_CHARS}}})_{_B58}{{{NUM_RANDOM_CHARS + NUM_CHECKSUM_CHARS}}}")


@dataclass(frozen=True, slots=True)
class Token:
    """A new key: what its owner gets, and what is stored of it."""

    key_id: KeyId
    text: str = field(repr=False)
    sha256: str


def make_token(choose: Callable[[str], str] = secrets.choice) -> Token:
    """A new token; `choose` picks one unpredictable character of the alphabet it is given."""
    key_id = "".join(choose(ALPHABET) for _ in range(NUM_ID_CHARS))
    body = f"slw_{key_id}_" + "".join(choose(ALPHABET) for _ in range(NUM_RANDOM_CHARS))
    text = body + checksum(body)
    return Token(KeyId(key_id), text, sha256_of(text))


def admin_token(text: str) -> Token:
    """The key that a Secret stands for: the one it holds, or the one that is made from its random characters, which is
    always the same. So whoever installs needs no program that writes keys. White space around it does not count.

    Raises:
        ValueError: it is neither; with a sentence that says what it should be, and nothing of what it is.
    """
    text = text.strip()
    key_id = key_id_of(text)
    if key_id is not None:
        return Token(key_id, text, sha256_of(text))
    if text.startswith("slw_"):
        raise ValueError("the admin secret looks like a key, and is none: it was not copied whole")
    if len(text) < MIN_SEED_CHARS:
        raise ValueError(f"the admin secret is a key (slw_...), or at least {MIN_SEED_CHARS} random characters")
    rest = int.from_bytes(hashlib.shake_256(b"slipway admin key\0" + text.encode("utf-8", "surrogatepass")).digest(64))

    def choose(alphabet: str) -> str:
        nonlocal rest
        rest, digit = divmod(rest, len(alphabet))
        return alphabet[digit]

    return make_token(choose)


def key_id_of(text: str) -> KeyId | None:
    """The id in a well-formed token, or None for anything else, however long or strange."""
    match = _TOKEN.fullmatch(text)
    if match is None or checksum(text[:-NUM_CHECKSUM_CHARS]) != text[-NUM_CHECKSUM_CHARS:]:
        return None
    return KeyId(match[1])


def is_key_id(text: str) -> bool:
    """Whether `text` can be a key's id."""
    return _KEY_ID.fullmatch(text) is not None


def checksum(body: str) -> str:
    """CRC-32 of `body` in base58. It finds accidents; it keeps nobody out."""
    rest, digits = zlib.crc32(body.encode()), ""
    for _ in range(NUM_CHECKSUM_CHARS):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def sha256_of(text: str) -> str:
    """Hexadecimal SHA-256 of any text, lone surrogates included (headers may smuggle them in)."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
