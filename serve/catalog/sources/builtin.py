"""builtin:// - the small trained models that ship with the project, found without importing them."""

import importlib.util
from pathlib import Path

from serve.catalog.sources.file import FileSource
from serve.catalog.sources.source import refusal
from serve.domain.names import dns_label


def reference_models() -> Path:
    """The folder that holds them, one folder per name."""
    spec = importlib.util.find_spec("deployments")
    locations = list(spec.submodule_search_locations or ()) if spec else []
    return Path(locations[0] if locations else ".") / "reference_models"


def builtin_source(uri: str, root: Path) -> FileSource:
    """The source of `builtin://name`.

    Raises:
        InvalidRequest: `weights_not_found`, with the names there are.
    """
    name = uri.removeprefix("builtin://").strip("/")
    try:
        folder = root / dns_label(name)
    except ValueError as error:
        raise refusal("invalid_weights_uri", f"{uri}: {error}") from None
    if not folder.is_dir():
        names = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
        raise refusal("weights_not_found", f"{uri}: this installation ships {', '.join(names) or 'none'}")
    return FileSource.at(folder, uri)
