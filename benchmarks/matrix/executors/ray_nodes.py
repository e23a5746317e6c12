"""The nodes of a Ray cluster: join them, check that they can run cells, and say what is wrong. Imports no torch."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

from benchmarks.matrix.executors.executor import CellResources
from benchmarks.matrix.executors.worker_check import (
    DriverMark,
    WrongWorkerError,
    list_driver_variables,
    require_driver_mark,
)
from foundation.errors import UserError
from foundation.plural import format_count

_PROBE_SECONDS = 5.0
"""How long the head node's port may take to answer."""

_CONNECT_SECONDS = 60.0
"""How long a connection to a cluster may take; Ray's own attempts go on for 160 s and then end the process."""

_NODE_CHECK_SECONDS = 120.0
"""How long a node may take to start a process that imports this module."""

_MAX_REASON_LENGTH = 400
"""Maximum number of characters of a message of Ray's that is displayed."""

_CONNECT_CODE = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)"

QUIET_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # the messages of Ray's daemons go to the driver's stdout even if log_to_driver is off
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # otherwise Ray announces that a later version will treat num_gpus=0 in another way
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Environment variables that keep Ray from writing to the terminal; it reads them when it is imported."""


def import_ray() -> Any:
    """Import Ray so that it writes nothing to the terminal.

    Raises:
        UserError: it is not installed.
    """
    for name, value in QUIET_VARIABLES.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UserError("executor ray needs the package ray: pip install 'litevit-bench[ray]'") from error
    return ray


def require_reachable_cluster(address: str) -> None:
    """Connect to a cluster in another process first: a failed connection would end this one.

    Raises:
        UserError: nothing answers there, or it is not a cluster that this Ray can join.
    """
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or "/" in host or not port.isdigit():
            raise UserError(f"--address {address} is not HOST:PORT of a Ray head node, for example 10.0.0.1:6379")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_PROBE_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise UserError(
                f"no Ray cluster answers at {address} ({error}); start its head node with: "
                f"ray start --head --port={port}"
            ) from error
    command = [sys.executable, "-c", _CONNECT_CODE, address]
    try:
        # the current folder may hold a file that is named like a module
        done = subprocess.run(  # noqa: S603 - this Python, and an address that was checked
            command,
            capture_output=True,
            text=True,
            timeout=_CONNECT_SECONDS,
            env=os.environ | {"PYTHONSAFEPATH": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"what listens at {address} did not answer as the head node of a Ray cluster within "
            f"{_CONNECT_SECONDS:.0f} s; give the port of ray start --head (6379 unless it says otherwise)"
        ) from error
    if done.returncode != 0:
        reason = re.findall(r"^[\w.]+(?:Error|Exception): (.+)\Z", done.stderr, re.MULTILINE | re.DOTALL)
        raise UserError(
            f"cannot join the Ray cluster at {address}: {shorten_reason(reason[-1] if reason else done.stderr)}"
        )


def check_nodes(mark: DriverMark) -> None:
    """Run a check on every node.

    Raises:
        UserError: naming the first node that cannot run cells, and why.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check = ray.remote(num_cpus=0, max_calls=1, max_retries=0, runtime_env={"env_vars": list_driver_variables()})(
        require_driver_mark
    )
    nodes = {
        check.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(mark): node
        for node in ray.nodes()
        if node["Alive"]
    }
    ready, late = ray.wait(list(nodes), num_returns=len(nodes), timeout=_NODE_CHECK_SECONDS)
    if late:
        raise UserError(
            f"node {nodes[late[0]]['NodeManagerAddress']} started no worker within {_NODE_CHECK_SECONDS:.0f} s; "
            "look at it with: ray status"
        )
    for ref in ready:
        try:
            ray.get(ref)
        except WrongWorkerError as error:
            raise UserError(get_ray_cause(error)) from error
        except Exception as error:
            raise UserError(
                f"node {nodes[ref]['NodeManagerAddress']} cannot run bench ({explain_death(error)}); install the same "
                "bench there and start its Ray with that Python"
            ) from error


def count_places(nodes: Sequence[Mapping[str, Any]], resources: CellResources) -> int:
    """Return how many cells the nodes can run at the same time."""
    return sum(_count_node_places(node.get("Resources") or {}, resources) for node in nodes)


def _count_node_places(offer: Mapping[str, float], resources: CellResources) -> int:
    needs = {
        "CPU": float(resources.threads),
        "GPU": float(resources.gpus),
        "memory": (resources.memory_gib or 0.0) * 2**30,
    }
    return min(int(offer.get(name, 0.0) // need) for name, need in needs.items() if need)


def describe_shortage(nodes: Sequence[Mapping[str, Any]], resources: CellResources) -> str:
    """Return in words what a cell needs and what the nodes have."""
    needs = [format_count(resources.threads, "CPU")]
    if resources.gpus:
        needs.append(format_count(resources.gpus, "GPU"))
    if resources.memory_gib:
        needs.append(f"{resources.memory_gib:g} GiB of memory")
    offers = [
        f"{node['NodeManagerAddress']} has {node['Resources'].get('CPU', 0):g} CPUs, "
        f"{node['Resources'].get('GPU', 0):g} GPUs and {node['Resources'].get('memory', 0) / 2**30:.1f} GiB"
        for node in nodes[:5]
    ]
    return (
        f"no node of the Ray cluster has {', '.join(needs)} for one cell ({'; '.join(offers) or 'it has no node'}); "
        "lower --threads, --gpus or --memory, or add a node"
    )


def get_ray_cause(error: BaseException) -> str:
    """Return the sentence of an exception that Ray carried over with its traceback."""
    return str(getattr(error, "cause", None) or error)


def explain_death(error: BaseException) -> str:
    """Return in words why a task of Ray ended without a result."""
    from ray import exceptions

    if isinstance(error, exceptions.OutOfMemoryError):
        return "Ray killed its process because the node was almost out of memory"
    if isinstance(error, exceptions.NodeDiedError):
        return f"its node died ({shorten_reason(str(error))})"
    if isinstance(error, exceptions.WorkerCrashedError):
        return "its process was killed or crashed (SIGKILL, out of memory, or a fault in a library)"
    if isinstance(error, exceptions.TaskCancelledError):
        return "it was cancelled"
    return shorten_reason(f"{type(error).__name__}: {get_ray_cause(error)}")


def shorten_reason(text: str) -> str:
    """Return a message of Ray's as one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return shorten(plain, _MAX_REASON_LENGTH, placeholder=" ...") or "it gives no reason"
