"""`python -m operators.crds FOLDER`: writes the definitions of the four kinds as files."""

import sys
from pathlib import Path

from operators.crds.kinds import RESOURCE_KINDS, definition
from serve.catalog.yaml_text import as_yaml

FOLDER = "helm/slipway/crds"
"""Where they are kept, from the root of the repository: Helm installs what lies there before anything else."""
_HEAD = "# Written by `make render` from serve/domain and operators/crds. Do not edit.\n"


def files() -> dict[str, str]:
    """Text by file name."""
    return {f"{kind.plural}.yaml": _HEAD + as_yaml(definition(kind), width=110) for kind in RESOURCE_KINDS.values()}


def write(folder: Path) -> None:
    """Write all files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
