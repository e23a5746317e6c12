"""Executor ``ray``: tasks of a Ray cluster, or of a Ray that is started on this machine. Imports no torch."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from textwrap import shorten
from typing import Any

from benchmarks.matrix.executors.executor import CellJob, CellReport, CellResources, WorkerDiedError
from benchmarks.matrix.executors.worker_check import (
    DriverMark,
    WrongWorkerError,
    list_driver_variables,
    require_driver_mark,
    write_driver_mark,
)
from benchmarks.matrix.run_in_worker import make_worker_environment, run_job
from foundation.errors import UserError
from foundation.plural import format_count

_PROBE_SECONDS = 5.0
"""How long the head node's port may take to answer."""

_CONNECT_SECONDS = 20.0
"""How long a connection to a cluster may take; Ray's own attempts go on for 160 s and then end the process."""

_NODE_CHECK_SECONDS = 120.0
"""How long a node may take to start a process that imports this module."""

_INTERRUPT_SECONDS = 15.0
"""How long a cell may take to write its state after an interrupt, before its process is killed."""

_OBJECT_STORE_BYTES = 80_000_000
"""Size of the object store of a Ray that is started here; cells exchange files, so Ray's minimum is enough."""

_MAX_REASON_LENGTH = 400
"""Maximum number of characters of a message of Ray's that is displayed."""

_CONNECT_CODE = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, configure_logging=False)"

_QUIET_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # the messages of Ray's daemons go to the driver's stdout even if log_to_driver is off
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    # otherwise Ray announces that a later version will treat num_gpus=0 in another way
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def run_on_node(job: CellJob, mark: DriverMark) -> CellReport:
    """Run a cell in a worker process of Ray.

    Raises:
        WrongWorkerError: the node has another bench, or does not share the driver's folders.
    """
    require_driver_mark(mark)
    if not job.request.out.is_dir():
        raise WrongWorkerError(
            f"{socket.gethostname()} has no folder {job.request.out}; name a folder on a disk that all machines share "
            "with --out"
        )
    return run_job(job)


class RayExecutor:
    """Runs cells as tasks of Ray, each in a process with its own number of threads.

    The processes are kept for the next cell that needs the same, except those that used a GPU. They end with the
    driver, also when it is killed.

    Args:
        folder: absolute path of the sweep's folder, on a disk that all machines share.
        address: ``host:port`` of the head node, or ``auto`` for the cluster that this machine belongs to; ``None``
            starts Ray on this machine.
        num_cpus: number of CPUs that a Ray on this machine offers; ``None``: all.
    """

    name = "ray"
    takes_groups = False

    def __init__(self, *, folder: Path, address: str | None = None, num_cpus: int | None = None) -> None:
        self._folder = folder
        self._address = address
        self._num_cpus = num_cpus
        self._mark: DriverMark | None = None
        self._functions: dict[CellResources, Any] = {}
        self._running: dict[Future[CellReport], _RunningCell] = {}
        self._wrong_worker: str | None = None

    def start(self) -> None:
        """Connect, and check that every node has this bench and sees the sweep's folder.

        Raises:
            UserError: Ray is not installed, the cluster cannot be reached, or a node cannot run cells.
        """
        ray = _import_ray()
        if ray.is_initialized():
            raise UserError("this process uses Ray already; call ray.shutdown() before the matrix is started")
        arguments: dict[str, Any] = {"address": self._address}
        if self._address is None:
            arguments = {"address": "local", "num_cpus": self._num_cpus, "object_store_memory": _OBJECT_STORE_BYTES}
            arguments["include_dashboard"] = False
        else:
            _require_reachable_cluster(self._address)
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **arguments)
        except (Exception, SystemExit) as error:
            raise UserError(f"Ray does not start: {_shorten_reason(str(error))}") from error
        self._mark = write_driver_mark(self._folder)
        try:
            _check_nodes(self._mark)
        except BaseException:
            self.close()
            raise

    def has_room(self, resources: CellResources) -> bool:
        """Return whether the nodes, as they are now, can start one more cell at once.

        Raises:
            UserError: no node has these resources, or a node that joined later cannot run cells.
        """
        import ray

        if self._wrong_worker:
            raise UserError(self._wrong_worker)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        num_places = _count_places(nodes, resources)
        running = [cell.resources for cell in self._running.values()]
        if num_places == 0:
            # what a lost node had may be asked for again when the other nodes have nothing left to do
            if running and _count_places(ray.nodes(), resources):
                return False
            raise UserError(_describe_shortage(nodes, resources))
        load = sum(1 / max(1, _count_places(nodes, each)) for each in running)
        return load + 1 / num_places <= 1 + 1e-9

    def submit(self, jobs: Sequence[CellJob]) -> Sequence[Future[CellReport]]:
        """Start one cell on a node that has room, or as soon as one has."""
        (job,) = jobs  # takes_groups is False
        ref = self._get_function(job.resources).remote(job, self._mark)
        promise: Future[CellReport] = Future()
        promise.set_running_or_notify_cancel()
        self._running[promise] = _RunningCell(job.resources, ref)
        ref.future().add_done_callback(lambda done: self._hand_over(done, promise, job))
        return [promise]

    def describe(self) -> str:
        """Return where Ray runs, and what its nodes have."""
        import ray

        nodes = [node for node in ray.nodes() if node["Alive"]]
        cpus = sum(int(node["Resources"].get("CPU", 0)) for node in nodes)
        gpus = sum(int(node["Resources"].get("GPU", 0)) for node in nodes)
        place = f"Ray at {self._address}" if self._address else "Ray on this machine"
        has_gpus = f" and {format_count(gpus, 'GPU')}" if gpus else ""
        return f"{place}, {format_count(len(nodes), 'node')} with {format_count(cpus, 'CPU')}{has_gpus}"

    def close(self) -> None:
        """Interrupt the running cells, wait until they have written their state, and leave the cluster."""
        import ray

        if ray.is_initialized():
            refs = [cell.ref for cell in self._running.values()]
            for force in (False, True):
                for ref in refs:
                    # a task may end by itself in this moment
                    with contextlib.suppress(Exception):
                        ray.cancel(ref, force=force)
                if refs:
                    refs = ray.wait(refs, num_returns=len(refs), timeout=_INTERRUPT_SECONDS)[1]
            ray.shutdown()
        if self._mark is not None:
            self._mark.file.unlink(missing_ok=True)

    def _get_function(self, resources: CellResources) -> Any:
        """Return the remote function for cells that need these resources."""
        import ray

        if resources not in self._functions:
            options: dict[str, Any] = {"num_cpus": resources.threads, "num_gpus": resources.gpus}
            if resources.memory_gib is not None:
                options["memory"] = int(resources.memory_gib * 2**30)
            if resources.gpus:
                # a process that has used a GPU keeps it, and Ray may assign another one to the next cell
                options["max_calls"] = 1
            variables = list_driver_variables() | make_worker_environment(resources)
            self._functions[resources] = ray.remote(
                max_retries=0,  # the driver tries again
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": variables},
                **options,
            )(run_on_node)
        return self._functions[resources]

    def _hand_over(self, done: Future[CellReport], promise: Future[CellReport], job: CellJob) -> None:
        """Pass on what became of a task; called by a thread of Ray's."""
        self._running.pop(promise, None)
        error = done.exception()
        if error is None:
            promise.set_result(done.result())
            return
        if isinstance(error, WrongWorkerError):
            self._wrong_worker = _get_cause(error)
        promise.set_exception(WorkerDiedError(f"cell {job.number} ended without a report: {_explain_death(error)}"))


class _RunningCell:
    """A task of Ray that has not ended, and what it needs."""

    def __init__(self, resources: CellResources, ref: Any) -> None:
        self.resources = resources
        self.ref = ref


def _import_ray() -> Any:
    # Ray reads them when it is imported
    for name, value in _QUIET_VARIABLES.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise UserError("executor ray needs the package ray: pip install 'litevit-bench[ray]'") from error
    return ray


def _require_reachable_cluster(address: str) -> None:
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
            f"cannot join the Ray cluster at {address}: {_shorten_reason(reason[-1] if reason else done.stderr)}"
        )


def _check_nodes(mark: DriverMark) -> None:
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
            raise UserError(_get_cause(error)) from error
        except Exception as error:
            raise UserError(
                f"node {nodes[ref]['NodeManagerAddress']} cannot run bench ({_explain_death(error)}); install the same "
                "bench there and start its Ray with that Python"
            ) from error


def _count_places(nodes: Sequence[Mapping[str, Any]], resources: CellResources) -> int:
    """Return how many cells the nodes can run at the same time."""
    return sum(_count_node_places(node.get("Resources") or {}, resources) for node in nodes)


def _count_node_places(offer: Mapping[str, float], resources: CellResources) -> int:
    needs = {
        "CPU": float(resources.threads),
        "GPU": float(resources.gpus),
        "memory": (resources.memory_gib or 0.0) * 2**30,
    }
    return min(int(offer.get(name, 0.0) // need) for name, need in needs.items() if need)


def _describe_shortage(nodes: Sequence[Mapping[str, Any]], resources: CellResources) -> str:
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


def _get_cause(error: BaseException) -> str:
    """Return the sentence of an exception that Ray carried over with its traceback."""
    return str(getattr(error, "cause", None) or error)


def _explain_death(error: BaseException) -> str:
    """Return in words why a task of Ray ended without a result."""
    from ray import exceptions

    if isinstance(error, exceptions.OutOfMemoryError):
        return "Ray killed its process because the node was almost out of memory"
    if isinstance(error, exceptions.NodeDiedError):
        return f"its node died ({_shorten_reason(str(error))})"
    if isinstance(error, exceptions.WorkerCrashedError):
        return "its process was killed or crashed (SIGKILL, out of memory, or a fault in a library)"
    if isinstance(error, exceptions.TaskCancelledError):
        return "it was cancelled"
    return _shorten_reason(f"{type(error).__name__}: {_get_cause(error)}")


def _shorten_reason(text: str) -> str:
    """Return a message of Ray's as one line."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return shorten(plain, _MAX_REASON_LENGTH, placeholder=" ...") or "it gives no reason"
