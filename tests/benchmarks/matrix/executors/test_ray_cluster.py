"""Executor ray on a cluster of two nodes of this machine: same records, deaths, and clusters that are not there."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.matrix.executors import ray_cluster, ray_nodes
from benchmarks.matrix.executors.executor import CellReport, CellResources, WorkerDiedError
from benchmarks.matrix.executors.ray_cluster import RayExecutor
from foundation.errors import UserError
from tests.benchmarks.matrix.executors.conftest import RunPlainly
from tests.benchmarks.matrix.executors.make_jobs import list_processes, make_job, read_outcome, wait_until
from tests.conftest import ROOT
from tests.limits import HANG_SECONDS

RUNNING = "ray::run_on_node"
"""How Ray names a process while it runs a cell."""

_DRIVER = """
import sys
from pathlib import Path
import ray
from benchmarks.matrix.executors.ray_cluster import RayExecutor
from tests.benchmarks.matrix.executors.make_jobs import make_job
out = Path(sys.argv[1])
executor = RayExecutor(folder=out / "sweep", num_cpus=1, address=sys.argv[2] or None)
executor.start()
assert executor.has_room(make_job(out).resources)
(future,) = executor.submit([make_job(out)])
error = future.exception()
executor.close()
(out / "error").write_text(str(error))
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Address of a cluster of two nodes with one CPU each."""
    os.environ.update(ray_nodes.QUIET_VARIABLES)
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    node = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        made = cluster_utils.Cluster(initialize_head=True, head_node_args=node)
        made.add_node(num_cpus=1, object_store_memory=80_000_000)
    yield made.address
    made.shutdown()


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that all cells of this module write into."""
    return tmp_path_factory.mktemp("ray")


def test_nothing_stays_of_a_worker_that_ended_while_it_wrote_its_node(tmp_path: Path) -> None:
    cell = ray_cluster._RunningCell(1, CellResources(1), None, tmp_path / "node-1")
    for name in ("node-1", ".node-1.abcdefgh.tmp", ".node-12.abcdefgh.tmp"):
        (tmp_path / name).write_text("")
    cell.remove_place()
    assert [path.name for path in tmp_path.iterdir()] == [".node-12.abcdefgh.tmp"], "that of another cell"


@pytest.fixture(scope="module")
def executor(cluster: str, out: Path) -> Iterator[RayExecutor]:
    """An executor that is connected to the cluster."""
    made = RayExecutor(folder=out / "sweep", address=cluster)
    made.start()
    yield made
    made.close()
    assert not list((out / "sweep").iterdir())


def test_two_nodes_run_cells_at_once_and_write_the_records_of_plain_runs(
    executor: RayExecutor, out: Path, run_plainly: RunPlainly
) -> None:
    from ray._private.state import available_resources_per_node

    jobs = [make_job(out, 0, "knn"), make_job(out, 1, "linear")]
    futures: list[Future[CellReport]] = []
    for job in jobs:
        assert executor.has_room(job.resources)
        futures += executor.submit([job])
    assert not executor.has_room(jobs[0].resources)
    wait_until(lambda: all(not each.get("CPU") for each in available_resources_per_node().values()))
    reports = [future.result(HANG_SECONDS) for future in futures]
    assert [report.number for report in reports] == [0, 1]
    assert not any(report.failure or report.is_from_record for report in reports)
    assert executor.has_room(jobs[0].resources)
    for job, report in zip(jobs, reports, strict=True):
        assert read_outcome(report.folder) == run_plainly(job)
    assert "2 nodes with 2 CPUs" in executor.describe()


def test_a_worker_that_is_killed_is_a_death_and_the_next_attempt_gives_the_same_record(
    executor: RayExecutor, out: Path, run_plainly: RunPlainly
) -> None:
    job = make_job(out, 2, "knn", seed=1)
    (future,) = executor.submit([job])
    os.kill(wait_until(lambda: list_processes(RUNNING))[0], signal.SIGKILL)
    with pytest.raises(WorkerDiedError, match="cell 2 ended without a report: its process was killed"):
        future.result(HANG_SECONDS)
    (future,) = executor.submit([job])
    report = future.result(HANG_SECONDS)
    assert not report.is_from_record
    assert read_outcome(report.folder) == run_plainly(job)


def test_a_worker_has_the_threads_of_its_cell_and_the_variables_of_the_driver(
    executor: RayExecutor, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("BENCH_DATA", "some/data")
    monkeypatch.setattr(
        ray_cluster, "run_on_node", lambda job, mark, place: {**os.environ, "torch": "torch" in sys.modules}
    )
    executor._functions.clear()
    resources = CellResources(threads=1, memory_gib=0.5)
    variables = ray.get(executor._get_function(resources).remote(make_job(out), None, None))
    executor._functions.clear()
    assert variables["OMP_NUM_THREADS"] == variables["OPENCV_FOR_THREADS_NUM"] == "1"
    assert variables["CUDA_VISIBLE_DEVICES"] == "-1"
    assert variables["BENCH_DATA"] == str(Path.cwd() / "some/data")
    assert variables["BENCH_WEIGHTS"] == ""
    assert not variables["torch"]


@pytest.mark.soak
def test_the_cell_of_a_driver_that_is_killed_ends_and_runs_again(
    executor: RayExecutor, cluster: str, out: Path, run_plainly: RunPlainly
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(out), cluster], env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as driver:
        job = make_job(out)
        # the cell of the first test has a record, which the other driver must not find
        shutil.rmtree(out / "digits", ignore_errors=True)
        wait_until(lambda: list_processes(RUNNING))
        driver.kill()
    wait_until(lambda: not list_processes(RUNNING))
    (future,) = executor.submit([job])
    assert read_outcome(future.result(HANG_SECONDS).folder) == run_plainly(job)
    for file in (out / "sweep").iterdir():  # what a killed driver leaves behind
        if executor._mark is not None and file != executor._mark.file:
            file.unlink()


@pytest.mark.parametrize(
    "resources", [CellResources(threads=2), CellResources(gpus=1), CellResources(memory_gib=1e6)], ids=str
)
def test_resources_that_no_node_has_are_refused(executor: RayExecutor, resources: CellResources) -> None:
    with pytest.raises(UserError, match=r"no node of the Ray cluster has .*; lower --threads"):
        executor.has_room(resources)


def test_a_node_with_other_code_ends_the_matrix_with_one_sentence(
    executor: RayExecutor, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert executor._mark is not None
    other = replace(executor._mark, code="0" * 64)
    with pytest.raises(UserError, match=r"has bench .* \(code .*the driver has bench .* \(code 00000000\)"):
        ray_nodes.check_nodes(other)
    monkeypatch.setattr(executor, "_mark", other)
    monkeypatch.setattr(executor, "_wrong_worker", None)
    (future,) = executor.submit([make_job(out, 3)])
    with pytest.raises(WorkerDiedError, match="install the same bench"):
        future.result(HANG_SECONDS)
    with pytest.raises(UserError, match="install the same bench on every machine"):
        executor.has_room(CellResources())


def test_a_node_without_the_output_folder_is_named(
    executor: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_wrong_worker", None)
    (future,) = executor.submit([make_job(tmp_path / "not_there", 4)])
    with pytest.raises(WorkerDiedError, match=r"has no folder .*not_there"):
        future.result(HANG_SECONDS)


def test_a_cell_on_a_lost_node_is_given_up(executor: RayExecutor, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(executor, "_wrong_worker", None)
    (future,) = executor.submit([make_job(out, 6, "linear", seed=6)])
    (cell,) = executor._running.values()
    executor._give_up_lost_cells()
    wait_until(cell.place.exists)
    executor._give_up_lost_cells()
    assert not future.done()
    # as Ray says it after a power cut, when the connection to the process has not broken yet
    nodes = ray.nodes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "nodes", lambda: [{**node, "Alive": False} for node in nodes])
        executor._give_up_lost_cells()
    with pytest.raises(WorkerDiedError, match=r"cell 6 ended without a report: its node \S+ died"):
        future.result(0)
    assert not executor._running
    assert not cell.place.exists()
    wait_until(lambda: not list_processes(RUNNING))


def test_a_worker_that_failed_for_an_unknown_reason_reports_it_and_is_not_used_again(
    executor: RayExecutor, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_wrong_worker", None)
    job = make_job(out, 7)
    (future,) = executor.submit([replace(job, request=replace(job.request, overrides=(3,)))])  # type: ignore[arg-type]
    report = future.result(HANG_SECONDS)
    assert report.number == 7
    assert report.failure is not None
    assert report.failure.startswith("unexpected ")
    assert report.is_retryable
    wait_until(lambda: not list_processes(RUNNING))


def test_a_second_connection_is_refused(executor: RayExecutor, tmp_path: Path) -> None:
    other = RayExecutor(folder=tmp_path)
    assert other.describe() == "Ray on this machine"
    with pytest.raises(UserError, match="uses Ray already"):
        other.start()


def test_ray_on_this_machine_writes_nothing_and_its_cell_dies_with_a_sentence(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    earlier = set(list_processes(RUNNING))
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(tmp_path), ""],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as driver:
        os.kill(wait_until(lambda: set(list_processes(RUNNING)) - earlier).pop(), signal.SIGKILL)
        written = driver.communicate(timeout=HANG_SECONDS)[0]
    assert written == ""
    assert driver.returncode == 0
    assert "was killed or crashed" in (tmp_path / "error").read_text()


# Clusters that are not there


@pytest.mark.parametrize("address", ["somewhere", "ray://host:10001", "host:port"])
def test_an_address_of_another_form_is_refused(tmp_path: Path, address: str) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UserError, match="is not HOST:PORT"):
        ray_nodes.require_reachable_cluster(address)


def test_a_cluster_that_does_not_answer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_nodes, "_CONNECT_SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(UserError, match=f"what listens at 127.0.0.1:{port} did not answer"):
            ray_nodes.require_reachable_cluster(f"127.0.0.1:{port}")
    with pytest.raises(UserError, match=f"no Ray cluster answers at 127.0.0.1:{port} .*ray start --head"):
        ray_nodes.require_reachable_cluster(f"127.0.0.1:{port}")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'litevit-bench\[ray\]'"):
        RayExecutor(folder=tmp_path).start()
