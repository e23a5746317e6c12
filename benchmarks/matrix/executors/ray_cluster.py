"""Executor ``ray``: tasks of a Ray cluster, or of a Ray that is started on this machine. Imports no torch."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from benchmarks.matrix.executors.executor import CellJob, CellReport, CellResources, WorkerDiedError
from benchmarks.matrix.executors.ray_nodes import (
    check_nodes,
    count_places,
    describe_shortage,
    explain_death,
    get_ray_cause,
    import_ray,
    require_reachable_cluster,
    shorten_reason,
)
from benchmarks.matrix.executors.worker_check import (
    DriverMark,
    WrongWorkerError,
    list_driver_variables,
    require_driver_mark,
    write_driver_mark,
)
from benchmarks.matrix.run_in_worker import make_worker_environment, run_job
from foundation.errors import UserError
from foundation.files import write_atomic
from foundation.plural import format_count

_NODE_LOOK_SECONDS = 5.0
"""Time between two looks for lost nodes."""

_INTERRUPT_SECONDS = 15.0
"""How long a cell may take to write its state after an interrupt, before its process is killed."""

_OBJECT_STORE_BYTES = 80_000_000
"""Size of the object store of a Ray that is started here; cells exchange files, so Ray's minimum is enough."""

_REPORT = "report: "
"""What the file of a cell begins with that ended its process; otherwise it holds the id of its node."""

_REPORT_READER = TypeAdapter(CellReport)


def run_on_node(job: CellJob, mark: DriverMark, place: Path) -> CellReport:
    """Run a cell in a worker process of Ray.

    Args:
        job: the cell.
        mark: what this process compares itself with.
        place: file into which it writes the id of its node, or the report before it ends this process.

    Raises:
        WrongWorkerError: the node has another bench, or does not share the driver's folders.
    """
    require_driver_mark(mark)
    if not job.request.out.is_dir():
        raise WrongWorkerError(
            f"{socket.gethostname()} has no folder {job.request.out}; name a folder on a disk that all machines share "
            "with --out"
        )
    import ray

    write_atomic(place, ray.get_runtime_context().get_node_id())
    report = run_job(job)
    if report.ends_process:  # Ray gives no other way to end it
        write_atomic(place, _REPORT + _REPORT_READER.dump_json(report).decode())
        os._exit(1)
    return report


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
        self._is_closed = threading.Event()

    def start(self) -> None:
        """Connect, and check that every node has this bench and sees the sweep's folder.

        Raises:
            UserError: Ray is not installed, the cluster cannot be reached, or a node cannot run cells.
        """
        ray = import_ray()
        if ray.is_initialized():
            raise UserError("this process uses Ray already; call ray.shutdown() before the matrix is started")
        arguments: dict[str, Any] = {"address": self._address}
        if self._address is None:
            arguments = {"address": "local", "num_cpus": self._num_cpus, "object_store_memory": _OBJECT_STORE_BYTES}
            arguments["include_dashboard"] = False
        else:
            require_reachable_cluster(self._address)
        handler = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **arguments)
        except (Exception, SystemExit) as error:
            raise UserError(f"Ray does not start: {shorten_reason(str(error))}") from error
        # Ray sets one of its own, which only calls sys.exit
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
        self._mark = write_driver_mark(self._folder)
        try:
            check_nodes(self._mark)
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._watch, name="ray nodes", daemon=True).start()

    def has_room(self, resources: CellResources) -> bool:
        """Return whether the nodes, as they are now, can start one more cell at once.

        Raises:
            UserError: no node has these resources, or a node that joined later cannot run cells.
        """
        import ray

        if self._wrong_worker:
            raise UserError(self._wrong_worker)
        nodes = [node for node in ray.nodes() if node["Alive"]]
        num_places = count_places(nodes, resources)
        # a thread of Ray's takes cells out
        running = [cell.resources for cell in list(self._running.values())]
        if num_places == 0:
            # what a lost node had may be asked for again when the other nodes have nothing left to do
            if running and count_places(ray.nodes(), resources):
                return False
            raise UserError(describe_shortage(nodes, resources))
        load = sum(1 / max(1, count_places(nodes, each)) for each in running)
        return load + 1 / num_places <= 1 + 1e-9

    def submit(self, jobs: Sequence[CellJob]) -> Sequence[Future[CellReport]]:
        """Start one cell on a node that has room, or as soon as one has."""
        (job,) = jobs  # takes_groups is False
        place = self._folder / f"node-{uuid.uuid4().hex}"
        ref = self._get_function(job.resources).remote(job, self._mark, place)
        promise: Future[CellReport] = Future()
        promise.set_running_or_notify_cancel()
        self._running[promise] = _RunningCell(job.number, job.resources, ref, place)
        ref.future().add_done_callback(lambda done: self._hand_over(done, promise, job))
        return [promise]

    def describe(self) -> str:
        """Return where Ray runs and, once it is connected, what its nodes have."""
        place = f"Ray at {self._address}" if self._address else "Ray on this machine"
        if self._mark is None:
            return place
        import ray

        nodes = [node for node in ray.nodes() if node["Alive"]]
        cpus = sum(int(node["Resources"].get("CPU", 0)) for node in nodes)
        gpus = sum(int(node["Resources"].get("GPU", 0)) for node in nodes)
        has_gpus = f" and {format_count(gpus, 'GPU')}" if gpus else ""
        return f"{place}, {format_count(len(nodes), 'node')} with {format_count(cpus, 'CPU')}{has_gpus}"

    def close(self) -> None:
        """Interrupt the running cells, wait until they have written their state, and leave the cluster."""
        import ray

        self._is_closed.set()
        if ray.is_initialized():
            refs = [cell.ref for cell in list(self._running.values())]
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
        cell = self._running.pop(promise, None)
        if cell is None:  # it was given up
            return
        written = cell.read_place()
        cell.remove_place()
        error = done.exception()
        if error is None:
            promise.set_result(done.result())
            return
        if isinstance(error, WrongWorkerError):
            self._wrong_worker = get_ray_cause(error)
        if written.startswith(_REPORT):
            promise.set_result(_REPORT_READER.validate_json(written.removeprefix(_REPORT)))
        else:
            promise.set_exception(WorkerDiedError(f"cell {job.number} ended without a report: {explain_death(error)}"))

    def _watch(self) -> None:
        """Look for lost nodes until the executor is closed; runs in a thread."""
        while not self._is_closed.wait(_NODE_LOOK_SECONDS):
            # at the end, and while the head node does not answer
            with contextlib.suppress(Exception):
                self._give_up_lost_cells()

    def _give_up_lost_cells(self) -> None:
        """End the futures of the cells whose node is dead.

        If a node loses its power or its network, Ray counts it as dead within a minute, but waits for its tasks until
        the connection breaks, which takes many minutes.
        """
        import ray

        dead = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if not node["Alive"]}
        for promise, cell in list(self._running.items()) if dead else ():
            node = cell.read_place()
            if node in dead and self._running.pop(promise, None) is not None:
                cell.remove_place()
                sentence = f"cell {cell.number} ended without a report: its node {dead[node]} died"
                promise.set_exception(WorkerDiedError(sentence))


class _RunningCell(NamedTuple):
    """A task of Ray that has not ended.

    Attributes:
        number: of the cell.
        resources: what it needs.
        ref: Ray's handle.
        place: file that the worker writes (``run_on_node``).
    """

    number: int
    resources: CellResources
    ref: Any
    place: Path

    def remove_place(self) -> None:
        """Remove what the worker wrote, also what it was writing when it was ended."""
        for path in (self.place, *self.place.parent.glob(f".{self.place.name}.*.tmp")):
            path.unlink(missing_ok=True)

    def read_place(self) -> str:
        """Return what the worker wrote; nothing if it has not begun."""
        try:
            return self.place.read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""
