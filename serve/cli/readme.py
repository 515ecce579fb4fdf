"""The README's table of settings, made from the settings themselves: `python -m serve.cli.readme README.md`."""

import sys
from pathlib import Path

from serve.settings import Settings

BEGIN = "<!-- settings: made by `make render` -->"
END = "<!-- end of settings -->"
_PER_USER = {
    "SLIPWAY_STORAGE_DATA_DIR": "`$XDG_DATA_HOME/slipway`",
    "SLIPWAY_STORAGE_CACHE_DIR": "`$XDG_CACHE_HOME/slipway`",
    "SLIPWAY_STORAGE_STATE_DIR": "`$XDG_STATE_HOME/slipway`",
}


def settings_table() -> str:
    """Markdown: variable, default, what it is and why."""
    lines = ["| variable | default | |", "|---|---|---|"]
    for variable, description, default in Settings.defaults():
        shown = _PER_USER.get(variable) or (f"`{default}`" if str(default) else "")
        lines.append(f"| `{variable}` | {shown} | {description} |")
    return "\n".join(lines)


def rendered(readme: str) -> str:
    """The README with its table made anew."""
    before, _, rest = readme.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{after}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(rendered(path.read_text()))
