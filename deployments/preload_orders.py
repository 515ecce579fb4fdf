"""From the routers of a process to its handles: adapters that a replica should have ready before calls come.

A module of its own, apart from the router, because Ray pickles a router's whole module by value: what that module
keeps in globals is not what others see who import it.
"""

from collections.abc import Callable

from serve.serving.route_memory import Preload

Send = Callable[[Preload], None]

_senders: dict[str, Send] = {}


def send_preloads(app: str, send: Send) -> None:
    """From now on `send` carries out the preloads that routers of this process order for this application.

    It is called in a router's thread, must not block, and makes a call of the application's deployment with the
    `Preload` as first argument, by which the router knows where the call belongs.
    """
    _senders[app] = send


def sender_for(app: str) -> Send | None:
    """Who carries out the preloads of this application, if anybody."""
    return _senders.get(app)
