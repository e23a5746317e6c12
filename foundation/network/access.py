"""The one gate to the network: whatever downloads something opens it first.

It refuses at once where the network is switched off (``--offline``, ``$BENCH_OFFLINE``), and within seconds where there
is none: the clients behind it (the hub's, torchvision's) look for a dead name server or proxy for minutes.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from foundation.environment import OFFLINE_VAR
from foundation.errors import NetworkError

PROBE_SECONDS = 3.0
"""How long a server may take to be found and to answer."""

STALL_SECONDS = 60.0
"""How long a download may stand still before it is given up."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class _ServerAddress(NamedTuple):
    host: str
    port: int


def switch_network_off() -> None:
    """Switch the network off for this process and those that it starts."""
    os.environ[OFFLINE_VAR.name] = "1"
    # the hub's client reads its own variable when it is imported; it also holds for code of plug-ins that calls it
    os.environ["HF_HUB_OFFLINE"] = "1"
    # so does Weights & Biases, which keeps its files until wandb sync; it may be switched off altogether
    if os.environ.get("WANDB_MODE") != "disabled":
        os.environ["WANDB_MODE"] = "offline"


@contextmanager
def open_network(url: str) -> Iterator[None]:
    """Allow downloads from a server while the context is active; one that stands still ends with an error.

    Args:
        url: an address on the server.

    Raises:
        NetworkError: the network is switched off, or the server cannot be reached. The message is the reason alone, as
            only the caller knows what is missing and where else it may come from.
    """
    if OFFLINE_VAR.read_switch():
        raise NetworkError(f"the network is switched off (--offline or ${OFFLINE_VAR.name})")
    _probe_server(_find_first_server(url))
    before = socket.getdefaulttimeout()
    # torchvision's downloads have no timeout of their own
    socket.setdefaulttimeout(STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _find_first_server(url: str) -> _ServerAddress:
    """Return the server that a request to ``url`` talks to first: the proxy for it, if one is set."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(host):
        # a proxy may be given without a scheme
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    return _ServerAddress(parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 443))


def _probe_server(server: _ServerAddress) -> None:
    """Connect to a server and close the connection again.

    Raises:
        NetworkError: no connection within ``PROBE_SECONDS``.
    """
    faults = [f"no answer within {PROBE_SECONDS:g} s"]

    def connect() -> None:
        try:
            with socket.create_connection(server, timeout=PROBE_SECONDS):
                faults.clear()
        except OSError as error:
            faults[:] = [error.strerror or str(error) or type(error).__name__]

    # in a thread, because the search for a name has no timeout: with a dead name server it takes half a minute
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    reason = next(iter(list(faults)), None)
    if reason is not None:
        raise NetworkError(f"{server.host}:{server.port} cannot be reached ({reason})")
