"""Small workflows for the editor's tests: operations that need no model, so that they run at once."""

from typing import Any

GREETING = "Good morning"
"""What the node `words` makes."""


def greeting(*, linked: bool = True, template: Any = GREETING) -> dict[str, Any]:
    """A text, and what makes capitals of it; `linked`: whether it is given the text."""
    given = {"text": {"$ref": ["words", "text"]}} if linked else {}
    return {
        "title": "A greeting",
        "interface": {"outputs": [{"name": "said", "from": ["loud", "text"], "title": "Said"}]},
        "nodes": {
            "words": {"type": "op:text.template", "inputs": {"template": template}},
            "loud": {"type": "op:text.case", "inputs": {**given, "case": "upper"}},
        },
        "layout": {"nodes": {"words": {"x": 0, "y": 0, "title": "Words"}, "loud": {"x": 420, "y": 0, "title": "Loud"}}},
    }


def with_resizing(document: dict[str, Any]) -> dict[str, Any]:
    """And a node that takes pictures only."""
    nodes = {**document["nodes"], "size": {"type": "op:image.resize", "inputs": {"scale": 2}}}
    places = {**document["layout"]["nodes"], "size": {"x": 420, "y": 320, "title": "Size"}}
    return {**document, "nodes": nodes, "layout": {"nodes": places}}


def painting(prompt: str, steps: int) -> dict[str, Any]:
    """One node that paints, which takes a while."""
    return {
        "title": "A painting",
        "interface": {"outputs": [{"name": "picture", "from": ["paint", "image"]}]},
        "nodes": {
            "paint": {
                "type": "model:shapes-sd",
                "task": "text_to_image",
                "inputs": {"prompt": prompt, "steps": steps, "seed": 1},
            }
        },
        "layout": {"nodes": {"paint": {"x": 0, "y": 0, "title": "Paint"}}},
    }
