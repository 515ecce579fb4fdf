"""Values as YAML text that every reader reads alike.

`kubectl` and Helm read YAML 1.1 to the letter: there `y` and `n`, as keys too, are true and false, and `1e3` is a
number. PyYAML, which writes and reads less of it, leaves such texts without quotes.
"""

import re
from typing import Any

import yaml

_AMBIGUOUS = re.compile(r"[yYnN]|[-+]?[0-9.][0-9_.]*[eE][-+]?[0-9]+|[-+]?0[xXoObB][0-9a-fA-F_]+")


class _Dumper(yaml.SafeDumper):
    """No anchors either: they save nothing, and some readers refuse them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"' if _AMBIGUOUS.fullmatch(value) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(value: Any, width: int = 80) -> str:
    """`value` as YAML, keys in their order, non-ASCII text left readable."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
