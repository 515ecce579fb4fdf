"""What pyproject.toml cannot say: a package that is built has the web app in it, or somebody said that it need not.

An editable installation needs none; there `make ui` builds it in place, whenever.
"""

import os
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

INDEX = Path(__file__).parent / "serve/web/dist/index.html"
WITHOUT_PAGE = "SLIPWAY_WITHOUT_PAGE"


def check_page() -> None:
    """Exit with a sentence where there is no page to pack."""
    if not INDEX.exists() and os.environ.get(WITHOUT_PAGE) != "1":
        raise SystemExit(
            "The web app is not built (serve/web/dist): run `make ui` first, or set "
            f"{WITHOUT_PAGE}=1 for a package that serves the API only."
        )


class BuildPy(build_py):
    """The Python files and their data."""

    def run(self) -> None:
        if not self.editable_mode:
            check_page()
        super().run()


class Sdist(sdist):
    """The sources, and the page that was built from them: whoever builds a wheel from it needs no Node."""

    def run(self) -> None:
        check_page()
        super().run()


setup(cmdclass={"build_py": BuildPy, "sdist": Sdist})
