"""Graphs of ComfyUI, read from tests/unit/comfyui: each in the published format, its classes with their signatures."""

import json
from pathlib import Path
from typing import Any

from fakes.workflows import served_models

from serve.workflow.comfyui.importing import Imported, import_comfyui

FOLDER = Path(__file__).parents[1] / "unit" / "comfyui"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def comfy_graph(name: str) -> dict[str, Any]:
    """A graph, new, to be changed at will."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_bytes())
    return found


def comfy_import(graph: Any, **chosen: str) -> Imported:
    """What it is here, with the built-in models."""
    return import_comfyui(graph, served_models(), chosen)
