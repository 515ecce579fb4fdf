"""The models of the embedded default, as documents: one YAML file each, like anyone's; and their adapters beside."""

from collections.abc import Iterable
from importlib.resources import files
from itertools import chain

from serve.catalog.manifests import load_documents
from serve.domain.documents import AdapterDocument, ModelDocument
from serve.domain.errors import InvalidRequest


def builtin_names() -> list[str]:
    """The names there are, sorted."""
    found = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def builtin_documents(names: Iterable[str]) -> list[ModelDocument]:
    """The documents of these models, in this order.

    Raises:
        InvalidRequest: `unknown_builtin`, with the names there are.
    """
    return list(chain.from_iterable(_documents(name) for name in names))


def _documents(name: str) -> list[ModelDocument]:
    if name not in (known := builtin_names()):
        raise InvalidRequest(f"there is no built-in model {name!r}; there are {', '.join(known)}", "unknown_builtin")
    text = (files(__name__) / f"{name}.yaml").read_text("utf-8")
    return [d for d in load_documents(text, f"{name}.yaml") if isinstance(d, ModelDocument)]


def builtin_adapters(base: str) -> list[AdapterDocument]:
    """The adapters that ship for a model; none for most."""
    file = files(__name__) / "adapters" / f"{base}.yaml"
    if not file.is_file():
        return []
    return [d for d in load_documents(file.read_text("utf-8"), f"{base}.yaml") if isinstance(d, AdapterDocument)]
