"""The driver: what is tried again, what waits, what fails, and in which order cells run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

import benchmarks.matrix.sweep as sweep_module
from benchmarks.matrix.executors.executor import CellJob, CellReport, CellResources, WorkerDiedError
from benchmarks.matrix.plan_cells import PlannedCell
from benchmarks.matrix.suite import MatrixCell, Suite, SuiteBlock, expand_suite
from benchmarks.matrix.sweep import FailedCell, SweepState, begin_sweep, get_sweep_folder, open_executor, run_sweep
from benchmarks.resolve_cell import CellRequest
from foundation.errors import UserError

Answer = Callable[[CellJob, int], CellReport | BaseException]


class ScriptedExecutor:
    """Answers each attempt at a cell as a function says; ``slots`` cells run at a time and end in order."""

    name = "scripted"

    def __init__(self, answer: Answer, slots: int = 1, takes_groups: bool = False) -> None:
        self.answer, self.slots, self.takes_groups = answer, slots, takes_groups
        self.submitted: list[list[int]] = []
        self.attempts: dict[int, int] = {}
        self.pending: list[tuple[CellJob, Future[CellReport]]] = []
        self.is_closed = False

    def start(self) -> None:
        """Nothing to start."""

    def has_room(self, resources: CellResources) -> bool:
        """One ends as soon as all slots are taken."""
        if resources.threads > 8:
            raise UserError("no machine has 9 threads")
        if len(self.pending) < self.slots:
            return True
        self.end_first()
        return False

    def submit(self, jobs: Sequence[CellJob]) -> Sequence[Future[CellReport]]:
        """Takes the cells; the last of a matrix end at once."""
        self.submitted.append([job.number for job in jobs])
        futures: list[Future[CellReport]] = [Future() for _ in jobs]
        self.pending += zip(jobs, futures, strict=True)
        return futures

    def end_first(self) -> None:
        """The oldest cell ends."""
        job, future = self.pending.pop(0)
        self.attempts[job.number] = self.attempts.get(job.number, 0) + 1
        answer = self.answer(job, self.attempts[job.number])
        future.set_exception(answer) if isinstance(answer, BaseException) else future.set_result(answer)

    def describe(self) -> str:
        """For the title."""
        return "a script"

    def close(self) -> None:
        """Remembers it."""
        self.is_closed = True


class Log:
    """A view that keeps what it was told; lets the executor end a cell when time passes."""

    def __init__(self, executor: ScriptedExecutor) -> None:
        self.executor = executor
        self.lines: list[str] = []

    def show_answered(self, state: SweepState) -> None:
        self.lines.append(f"answered {sorted(state.finished)}")

    def show_started(self, state: SweepState, number: int) -> None:
        self.lines.append(f"start {number}")

    def show_finished(self, state: SweepState, report: CellReport) -> None:
        self.lines.append(f"done {report.number}")

    def show_postponed(self, state: SweepState, number: int, reason: str) -> None:
        self.lines.append(f"again {number}: {reason}")

    def show_failed(self, state: SweepState, cell: FailedCell) -> None:
        self.lines.append(f"failed {cell.number}: {cell.sentence}")

    def refresh(self, state: SweepState) -> None:
        if self.executor.pending:
            self.executor.end_first()


def make_cells(**fields: object) -> list[MatrixCell]:
    """The cells of one block."""
    block = {"tasks": ["digits"], "backbones": ["vit_pico"], "protocols": ["finetune"], **fields}
    suite = Suite(cells=[SuiteBlock.model_validate(block)])
    return expand_suite(suite, CellRequest("", "", device="cpu"), CellResources()).cells


def succeed(job: CellJob, attempt: int) -> CellReport:
    """Every attempt gives a number."""
    return CellReport(job.number, Path("run"), is_from_record=False, seconds=1.0)


def begin(cells: list[MatrixCell], **states: Any) -> SweepState:
    """The state of a sweep whose cells are missing, except those whose plan is given as ``cell_N``."""
    missing = [PlannedCell(cell.request, "missing") for cell in cells]
    return begin_sweep(cells, [states.get(f"cell_{n}", plan) for n, plan in enumerate(missing)])


def drive(
    tmp_path: Path, cells: list[MatrixCell], executor: ScriptedExecutor, retries: int = 2
) -> tuple[SweepState, list[str]]:
    """Run a sweep; returns its state and what a view saw."""
    log = Log(executor)
    with open_executor(executor):
        state = begin(cells)
        run_sweep(state, executor, tmp_path, log, retries)
    assert executor.is_closed
    return state, log.lines


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver waits for nothing."""
    monkeypatch.setattr(sweep_module, "_REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(sweep_module, "_BUSY_WAIT_SECONDS", 0.0)


def test_every_cell_runs_once(tmp_path: Path) -> None:
    executor = ScriptedExecutor(succeed, slots=3)
    state, lines = drive(tmp_path, make_cells(seeds=[0, 1, 2, 3, 4]), executor)
    assert sorted(state.finished) == [0, 1, 2, 3, 4]
    assert not state.failed
    assert not state.waiting
    assert not state.running
    assert sorted(line for line in lines if line.startswith("start")) == [f"start {n}" for n in range(5)]


def test_a_done_cell_is_answered_and_an_estimate_is_used(tmp_path: Path) -> None:
    cells = make_cells(seeds=[0, 1, 2])
    done = PlannedCell(cells[1].request, "done", folder=tmp_path)
    known = PlannedCell(cells[0].request, "missing", estimated_seconds=40.0)
    state = begin(cells, cell_0=known, cell_1=done)
    assert state.waiting == [0, 2]
    assert state.finished[1].is_from_record
    assert state.predict_rest() is None, "nothing is known of cell 2"
    state.waiting.remove(2)
    assert state.predict_rest() == 40.0
    executor = ScriptedExecutor(succeed)
    run_sweep(state, executor, tmp_path, Log(executor), 0)
    assert executor.submitted == [[0]]


def test_a_cell_whose_worker_died_is_tried_again_after_the_others(tmp_path: Path) -> None:
    def die_once(job: CellJob, attempt: int) -> CellReport | BaseException:
        return WorkerDiedError("killed by signal 9") if job.number == 0 and attempt == 1 else succeed(job, attempt)

    executor = ScriptedExecutor(die_once)
    state, lines = drive(tmp_path, make_cells(seeds=[0, 1, 2]), executor)
    assert sorted(state.finished) == [0, 1, 2]
    assert executor.submitted == [[0], [1], [2], [0]]
    assert "again 0: killed by signal 9; attempt 2 of 3 follows" in lines


def test_a_cell_that_always_dies_fails_after_its_retries(tmp_path: Path) -> None:
    def always_die(job: CellJob, attempt: int) -> CellReport | BaseException:
        return WorkerDiedError("out of memory") if job.number == 1 else succeed(job, attempt)

    executor = ScriptedExecutor(always_die)
    state, _ = drive(tmp_path, make_cells(seeds=[0, 1, 2]), executor, retries=2)
    assert executor.attempts == {0: 1, 1: 3, 2: 1}
    assert sorted(state.finished) == [0, 2]
    assert state.failed[1].sentence == "out of memory"
    assert state.failed[1].log_file == tmp_path / "logs" / "00001.log"


@pytest.mark.parametrize(("is_retryable", "attempts"), [(True, 3), (False, 1)])
def test_only_a_failure_that_may_pass_is_tried_again(tmp_path: Path, is_retryable: bool, attempts: int) -> None:
    def fail(job: CellJob, attempt: int) -> CellReport:
        return CellReport(job.number, None, False, 1.0, failure="no", is_retryable=is_retryable)

    executor = ScriptedExecutor(fail)
    state, _ = drive(tmp_path, make_cells(), executor)
    assert executor.attempts == {0: attempts}
    assert state.failed[0].sentence == "no"


def test_a_cell_that_another_process_runs_is_awaited_without_end(tmp_path: Path) -> None:
    def busy(job: CellJob, attempt: int) -> CellReport:
        return (
            CellReport(job.number, None, False, 0.1, failure="locked", is_busy_elsewhere=True)
            if attempt < 9
            else CellReport(job.number, Path("run"), is_from_record=True, seconds=0.1)
        )

    executor = ScriptedExecutor(busy)
    state, lines = drive(tmp_path, make_cells(), executor, retries=0)
    assert state.finished[0].is_from_record
    assert lines.count("again 0: another process is working on it") == 8


def test_an_error_of_the_driver_itself_ends_the_sweep_and_closes_the_executor(tmp_path: Path) -> None:
    executor = ScriptedExecutor(lambda job, attempt: RuntimeError("a fault of the executor"))
    with pytest.raises(RuntimeError, match="a fault of the executor"), open_executor(executor):
        run_sweep(begin(make_cells()), executor, tmp_path, Log(executor), 2)
    assert executor.is_closed
    with pytest.raises(UserError, match="no machine has 9 threads"):
        run_sweep(begin(make_cells(threads=9)), executor, tmp_path, Log(executor), 2)


def test_what_no_machine_has_is_refused_before_the_first_cell(tmp_path: Path) -> None:
    """It was found when the cell's turn came, and the running cells of other blocks were interrupted."""
    executor = ScriptedExecutor(succeed)
    cells = [*make_cells(seeds=[0, 1]), *make_cells(seeds=[2], threads=9)]
    with pytest.raises(UserError, match="no machine has 9 threads"):
        run_sweep(begin(cells), executor, tmp_path, Log(executor), 2)
    assert executor.submitted == []


def test_the_first_cell_of_a_group_computes_the_features_alone(tmp_path: Path) -> None:
    """With two slots the second takes another group, not a cell that would wait for the same features."""
    cells = make_cells(backbones=["vit_pico", "vit_nano"], protocols=["knn", "linear", "lowshot"])
    # in the order of the suite; within a group, linear is first, because it reads all three splits
    names = [(cell.request.backbone, cell.request.protocol) for cell in cells]
    executor = ScriptedExecutor(succeed, slots=2)
    drive(tmp_path, cells, executor)
    order = [names[number] for (number,) in executor.submitted]
    assert order[:2] == [("vit_pico", "linear"), ("vit_nano", "linear")]
    assert order[2] == ("vit_pico", "knn")


def test_a_group_with_nothing_else_to_do_is_shared_by_all_slots(tmp_path: Path) -> None:
    cells = make_cells(protocols=["knn", "linear", "lowshot"])
    executor = ScriptedExecutor(succeed, slots=3)
    drive(tmp_path, cells, executor)
    assert len(executor.submitted) == 3


def test_the_largest_share_of_the_data_comes_first(tmp_path: Path) -> None:
    cells = make_cells(protocols=["linear"], data_scale=[0.1, 1.0, 0.5])
    executor = ScriptedExecutor(succeed)
    drive(tmp_path, cells, executor)
    assert [cells[number].request.data_scale for (number,) in executor.submitted] == [1.0, 0.5, 0.1]


def test_an_executor_of_groups_gets_all_cells_of_a_group_at_once(tmp_path: Path) -> None:
    cells = make_cells(backbones=["vit_pico", "mae_tiny"], protocols=["knn", "linear", "finetune"], seeds=[0, 1])
    executor = ScriptedExecutor(succeed, takes_groups=True)
    drive(tmp_path, cells, executor)
    groups = [
        {(cells[n].request.backbone, cells[n].request.protocol, cells[n].request.seed) for n in numbers}
        for numbers in executor.submitted
    ]
    # a random backbone is another one for each seed; loaded weights are the same for all
    assert {("vit_pico", "knn", 0), ("vit_pico", "linear", 0)} in groups
    assert {("mae_tiny", protocol, seed) for protocol in ("knn", "linear") for seed in (0, 1)} in groups
    assert {("mae_tiny", "finetune", 1)} in groups
    assert sum(map(len, groups)) == 12


def test_the_same_cells_have_the_same_folder(tmp_path: Path) -> None:
    cells = make_cells(seeds=[0, 1])
    assert get_sweep_folder(tmp_path, cells) == get_sweep_folder(tmp_path, cells[::-1])
    assert get_sweep_folder(tmp_path, cells) != get_sweep_folder(tmp_path, cells[:1])
