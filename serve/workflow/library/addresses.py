"""How a workflow of a tenant is named: `name` or `name@latest`, `name@3`, `name@prod`, `name@draft`."""

import re
from dataclasses import dataclass

from serve.domain.names import dns_label

LATEST = "latest"
"""The version with the highest number that there is. No alias: nobody sets it."""
DRAFT = "draft"
"""What is being written: the one thing of a workflow that changes."""
RESERVED_NAMES = frozenset({"validate", "import"})
"""Words of the API's paths, which no workflow can be called."""
MAX_VERSION = 2**31 - 1
_NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class WorkflowAddress:
    """A workflow, and what of it is meant: a version's number, or `latest`, `draft` or an alias."""

    name: str
    which: int | str = LATEST

    def __str__(self) -> str:
        return f"{self.name}@{self.which}"


def parse_address(text: str) -> WorkflowAddress:
    """What `text` names. Raises ValueError with a sentence that says how a workflow is named."""
    name, at, which = text.partition("@")
    try:
        return WorkflowAddress(dns_label(name), parse_which(which) if at else LATEST)
    except ValueError:
        told = "a workflow is named as name, name@3, name@alias, name@latest or name@draft"
        raise ValueError(f"{told}: {text[:120]!r}") from None


def parse_which(text: str) -> int | str:
    """What stands after the @. Raises ValueError."""
    if _NUMBER.fullmatch(text) and int(text) <= MAX_VERSION:
        return int(text)
    if text.isdigit():
        raise ValueError(f"a version is a number from 1 to {MAX_VERSION}: {text[:80]!r}")
    return dns_label(text)


def alias_name(text: str) -> str:
    """`text`, if an alias can be called so. Raises ValueError."""
    if text in (LATEST, DRAFT):
        raise ValueError(f"{text} is no alias: it always means what it says")
    if isinstance(parse_which(text), int):
        raise ValueError(f"{text} is a version's number, and an alias is a word")
    return text
