"""Which platform, and with which key: from the options, the environment, or what `slipway up` wrote down.

The file is $XDG_CONFIG_HOME/slipway/config.yaml, readable by its owner alone.
"""

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from serve.cli.exits import CliError, ExitCode

DEFAULT_URL = "http://127.0.0.1:8000"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Host names of this machine itself."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where the platform is, and the key to it."""

    url: str = DEFAULT_URL
    key: str | None = field(default=None, repr=False)


def context_path() -> Path:
    """Where the context is kept."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "slipway" / "config.yaml"


def save_context(url: str, key: str) -> None:
    """Remember a platform and its key; the file appears whole, and only its owner can read it."""
    import yaml

    path = context_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes the file 0600 from the start: at no moment can another user open it.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".config-")
    with os.fdopen(handle, "w") as file:
        yaml.safe_dump({"url": normal_url(url), "key": key}, file)
    os.replace(temporary, path)


def load_context() -> Context:
    """What was saved; the default address and no key if nothing was. Raises CliError for a file that is not ours."""
    import yaml

    path = context_path()
    try:
        saved = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        return Context()
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CliError(f"Cannot read {path}: {error}", details="Remove it, or use --url and --key.") from error
    if not isinstance(saved, dict):
        raise CliError(f"{path} does not hold `url` and `key`.", details="Remove it, or use --url and --key.")
    return Context(normal_url(str(saved.get("url") or DEFAULT_URL)), saved.get("key"))


def resolve(url: str | None, key: str | None) -> Context:
    """The context for this command; `url` and `key` are the options' (or environment's) words.

    A saved key is for the saved address: it is never sent anywhere else.
    """
    wanted = normal_url(url) if url else None
    if wanted and key:
        return Context(wanted, key)
    saved = load_context()
    if wanted is None or wanted == saved.url:
        return Context(saved.url, key or saved.key)
    return Context(wanted, key)


def normal_url(url: str) -> str:
    """The address without the trailing slash and `/v1` that OpenAI clients ask for. Raises CliError (usage)."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CliError(f"Not an address: {url!r}. It reads like http://127.0.0.1:8000.", ExitCode.USAGE)
    return url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
