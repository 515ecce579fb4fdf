"""What workflows call adapters, and what that meant when their run was accepted.

A name can be written into the document of a run as the version that it means. One that stands in a workflow within
cannot, as a published version never changes: the terms of the run say what it means there.
"""

from collections.abc import Mapping
from typing import Any

from serve.domain.generation import AdapterUse
from serve.domain.port_types import Kind, PortType
from serve.domain.run import RunAdapter
from serve.workflow.values import read

_ONE = PortType(Kind.ADAPTER)
_KEPT = {"id", "scale"}


def name_in(written: Any) -> tuple[str | None, float | None]:
    """(name, scale) of an adapter as users write it; no name where it is one as runs keep it, or none."""
    if not isinstance(written, dict):
        return (written if isinstance(written, str) else None), None
    if written.keys() == _KEPT:
        return None, None
    name, scale = written.get("name", written.get("id")), written.get("scale")
    return (name if isinstance(name, str) else None), (None if scale is None else float(scale))


def read_adapters(written: Any, named: Mapping[str, RunAdapter]) -> Any:
    """The adapter, or the list of them, that `written` means. A name that is not among `named` stays one: nobody looked
    it up, since what it stands in cannot run (its condition is false, or its list is empty). A call refuses it.

    Raises:
        InvalidRequest: `wrong_type`.
    """
    if isinstance(written, list):
        return [read_adapters(one, named) for one in written]
    name, scale = name_in(written)
    if name is None:
        return read(written, _ONE, {})
    known = named.get(name)
    return written if known is None else AdapterUse(known.id, known.scale if scale is None else scale)
