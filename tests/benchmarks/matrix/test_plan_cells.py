"""What the cells of a matrix cost, and what the figures rest on."""

from __future__ import annotations

import json
import math
import platform
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

import benchmarks.matrix.calibration
import benchmarks.matrix.plan_cells
from backbones.create import create_backbone
from benchmarks.matrix.calibration import Calibration, load_calibration, make_calibration_key, store_calibration
from benchmarks.matrix.estimate import count_planned_steps, find_device
from benchmarks.matrix.plan_cells import CalibrationBudget, PlannedCell, plan_cells
from benchmarks.resolve_cell import CellRequest, resolve_cell_parts
from engine.calibration.scope import LoopMeasurement
from foundation.errors import BenchError, UserError
from tests.benchmarks.matrix.make import make_request, write_complete_run


def make_calibration(*loops: LoopMeasurement, **changes: Any) -> Calibration:
    """Findings with an overhead of 3 s."""
    fields: dict[str, Any] = {
        "date": "2026-01-02T03:04:05+00:00", "overhead_seconds": 3.0, "loops": loops, "peak_memory_mib": 700.0,
        "disk_bytes": 1000.0, "cache_bytes": 0.0, "seconds": 9.0,
    }  # fmt: skip
    return Calibration(**fields | changes)


FEATURES = [
    LoopMeasurement(f"features of {split}", "images", 10, 1.0, count, 1.1)
    for split, count in (("train", 1000), ("test", 300))
]


def write_timed_run(request: CellRequest, seconds: int, **changes: Any) -> None:
    """Writes a complete record of a run that took this long on this machine with one thread."""
    environment = {
        "started": "2026-01-02T03:04:00+00:00", "finished": f"2026-01-02T03:04:{seconds:02}+00:00", "device": "cpu",
        "threads": 1, "processes": 1, "platform": platform.platform(),
    }  # fmt: skip
    cost = {"phases": {"train_and_validate": 1.0}, "peak_memory_mib": 512.0, "attempts": 1, "efficiency": None}
    write_complete_run(request, **{"environment": environment, "cost": cost} | changes)


def keep_calibration(request: CellRequest, calibration: Calibration) -> None:
    """Keeps findings for the kind of a cell, as a calibration on this machine with one thread would."""
    store_calibration(make_calibration_key(resolve_cell_parts(request), "cpu", 1), calibration)


@pytest.fixture(autouse=True)
def _own_findings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GPU, and no findings of another test; digests of models may be shared."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setattr(benchmarks.matrix.calibration, "get_cache_dir", lambda: tmp_path / "cache")


def test_without_evidence_the_cost_is_unknown_but_steps_follow_from_the_plan(tmp_path: Path) -> None:
    train, probe = plan_cells([make_request(tmp_path, protocol="finetune"), make_request(tmp_path)], threads=1)
    assert (train.state, train.estimated_seconds, train.estimate.evidence) == ("missing", None, "unknown")
    assert (train.estimate.steps, probe.estimate.steps) == (40 * 19, 0)
    assert train.estimate.peak_memory_mib is None
    assert train.protocol == "finetune"


def test_runs_of_this_machine_are_the_first_evidence(tmp_path: Path) -> None:
    request = make_request(tmp_path, protocol="finetune", seed=1)
    keep_calibration(request, make_calibration(*FEATURES))
    for seed, seconds in ((2, 20), (3, 30), (4, 50)):
        write_timed_run(make_request(tmp_path, protocol="finetune", seed=seed), seconds)
    cell, done = plan_cells([request, make_request(tmp_path, protocol="finetune", seed=2)], threads=1)
    assert cell.estimate.kind == "measured run"
    assert (cell.estimated_seconds, cell.estimate.peak_memory_mib) == (30, 512)
    assert cell.estimate.evidence.startswith("measured in 3 runs")
    assert (done.state, done.estimated_seconds) == ("done", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": {"threads": 2}},
        {"environment": {"platform": "another machine"}},
        {"environment": {"device": "cuda (a GPU)"}},
        {"cost": {"phases": {}, "attempts": 2}},
        {"config": {"recipe": {"epochs": 3}}},
    ],
)
def test_runs_under_other_conditions_are_no_evidence(tmp_path: Path, changes: dict[str, Any]) -> None:
    request = make_request(tmp_path, protocol="finetune")
    write_timed_run(request, 20)
    (same,) = plan_cells([make_request(tmp_path, protocol="finetune", seed=1)], threads=1)
    assert same.estimate.seconds == 20
    other = tmp_path / "other"
    base: dict[str, Any] = {
        "environment": {
            "started": "2026-01-02T03:04:00+00:00", "finished": "2026-01-02T03:04:20+00:00", "device": "cpu",
            "threads": 1, "processes": 1, "platform": platform.platform(),
        },
        "cost": {"phases": {}, "attempts": 1, "efficiency": None},
    }  # fmt: skip
    merged = {name: {**base.get(name, {}), **value} for name, value in changes.items()}
    write_complete_run(make_request(other, protocol="finetune"), **base | merged)
    (cell,) = plan_cells([make_request(other, protocol="finetune", seed=1)], threads=1)
    assert cell.estimate.kind == "unknown"


def test_a_calibration_counts_for_its_kind_alone(tmp_path: Path) -> None:
    request = make_request(tmp_path, protocol="finetune")
    loops = (
        LoopMeasurement("train", "steps", 10, 2.0, 760, 2.5),
        LoopMeasurement("validate", "batches", 4, 0.4, 200, 0.6),
    )
    keep_calibration(request, make_calibration(*loops))
    (cell,) = plan_cells([make_request(tmp_path, protocol="finetune", seed=5)], threads=1)
    assert cell.estimated_seconds == pytest.approx(3 + 152 + 20)
    assert (cell.estimate.steps, cell.estimate.peak_memory_mib) == (760, 700)
    assert cell.estimate.evidence == "calibrated on 2026-01-02, 10 steps timed"
    others: list[dict[str, Any]] = [
        {"protocol": "finetune", "backbone": "vit_pico"},
        {"protocol": "finetune", "tier": "short"},
        {"protocol": "finetune", "overrides": ("batch_size=32",)},
    ]
    for cell in plan_cells([make_request(tmp_path, **each) for each in others], threads=1):
        assert cell.estimate.kind == "unknown", cell.request
    assert plan_cells([request], threads=2)[0].estimate.kind == "unknown"


def test_a_feature_pass_is_paid_for_once(tmp_path: Path) -> None:
    requests = [
        make_request(tmp_path, checkpoint="random", protocol=protocol, seed=seed)
        for seed in (0, 1)
        for protocol in ("knn", "linear")
    ]
    for request in requests[:2]:
        keep_calibration(request, make_calibration(*FEATURES))
    seconds = [cell.estimated_seconds for cell in plan_cells(requests, threads=1)]
    # random weights depend on the seed, so each seed has its own features; crop and pooling are those of the protocol
    assert seconds[0] == seconds[2] == pytest.approx(3 + 130)
    assert seconds[1] == seconds[3] == pytest.approx(3)


def test_a_run_that_found_its_features_in_the_cache_is_no_measure_of_computing_them(tmp_path: Path) -> None:
    def write(protocol: str, seconds: int, features: float, **changes: Any) -> None:
        cost = {"phases": {"features": features}, "peak_memory_mib": 512.0, "attempts": 1, "efficiency": None}
        write_timed_run(make_request(tmp_path, protocol=protocol, **changes), seconds, cost=cost)

    write("linear", 40, 30.0)
    write("knn", 3, 0.5)
    write("knn", 50, 45.0, overrides=("img_size=64",))
    write("knn", 50, 45.0, data_scale=0.5)
    requests = [make_request(tmp_path, protocol=protocol, seed=1) for protocol in ("knn", "linear")]
    for order in (requests, requests[::-1]):
        cells = {cell.protocol: cell for cell in plan_cells(order, threads=1)}
        assert [cells[name].estimate.seconds for name in ("knn", "linear")] == [32.5, 40]
        assert sum(cell.estimated_seconds or 0.0 for cell in cells.values()) == 42.5


def test_parts_of_the_data_are_drawn_anew_for_each_seed_and_found_in_the_complete_features(tmp_path: Path) -> None:
    cells = [
        ({"data_scale": 0.5, "seed": 0}, 130), ({"data_scale": 0.5, "seed": 1}, 100), ({"seed": 0}, 100),
        ({"data_scale": 0.5, "seed": 2}, 0), ({"tier": "smoke", "overrides": ("max_items=30",)}, 130),
    ]  # fmt: skip
    # weights from a file are the same for all seeds
    weights = tmp_path / "weights.safetensors"
    save_file(create_backbone("vit_nano", num_classes=0).model.state_dict(), weights)
    requests = [make_request(tmp_path, checkpoint=str(weights), **changes) for changes, _ in cells]
    for request in requests:
        keep_calibration(request, make_calibration(*FEATURES))
    seconds = [cell.estimated_seconds for cell in plan_cells(requests, threads=1)]
    assert seconds == pytest.approx([3 + features for _, features in cells])


def test_made_up_records_give_no_impossible_figures(tmp_path: Path) -> None:
    for seed, changes in enumerate(
        [
            {"environment": {"started": "2026-01-02T03:04:00", "finished": "2026-01-02T03:05:00+00:00"}},
            {"cost": {"phases": {"features": 1e9}, "attempts": 1, "efficiency": None}},
        ]
    ):
        write_timed_run(make_request(tmp_path, seed=seed), 20, **changes)
    for cell in plan_cells([make_request(tmp_path, seed=each) for each in (7, 8)], threads=1):
        assert cell.estimated_seconds is None or cell.estimated_seconds >= 0


def test_an_unfinished_cell_costs_what_is_left(tmp_path: Path) -> None:
    request = make_request(tmp_path, protocol="finetune")
    keep_calibration(request, make_calibration(LoopMeasurement("train", "steps", 10, 2.0, 760, 2.5)))
    (missing,) = plan_cells([request], threads=1)
    folder, _ = write_complete_run(request)
    (folder / "record.json").unlink()
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step_00000030.pth").touch()
    (cell,) = plan_cells([request], threads=1)
    assert (cell.state, cell.progress) == ("unfinished", 0.75)
    assert missing.estimated_seconds is not None
    assert cell.estimated_seconds == pytest.approx(missing.estimated_seconds / 4)


def test_only_what_is_unknown_is_calibrated_and_within_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def calibrate(request: CellRequest, threads: int) -> Calibration:
        made.append(f"{request.protocol} {request.backbone} {threads}")
        if request.backbone == "vit_pico":
            raise BenchError("no room")
        if request.protocol == "finetune":
            raise UserError("too shallow")
        return make_calibration(*FEATURES)

    monkeypatch.setattr(benchmarks.matrix.plan_cells, "calibrate_in_process", calibrate)
    requests = [
        *(make_request(tmp_path, seed=seed) for seed in (0, 1)),
        make_request(tmp_path, backbone="vit_pico"),
        make_request(tmp_path, protocol="finetune"),
        make_request(tmp_path, task="no_such_task"),
    ]
    said: list[tuple[int, int]] = []
    budget = CalibrationBudget(60, lambda request, number, total: said.append((number, total)))
    first, second, failed, refused, impossible = plan_cells(requests, threads=1, calibration=budget)
    assert made == ["knn vit_nano 1", "knn vit_pico 1", "finetune vit_nano 1"]
    assert said == [(1, 3), (2, 3), (3, 3)]
    assert (refused.state, refused.reason, refused.needs_run) == ("impossible", "too shallow", False)
    assert first.estimate == second.estimate
    assert (failed.estimated_seconds, failed.estimate.evidence) == (None, "unknown: no room")
    assert impossible.state == "impossible"
    plan_cells(requests[:2], threads=1, calibration=budget)
    assert len(made) == 3, "the findings are kept"
    plan_cells([make_request(tmp_path, protocol="linear")], threads=1, calibration=CalibrationBudget(0))
    assert len(made) == 3


def test_weights_that_do_not_fit_say_nothing_of_other_weights_or_finished_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong, right = tmp_path / "wrong.safetensors", tmp_path / "right.safetensors"
    for path in (wrong, right):
        save_file(create_backbone("vit_nano", num_classes=0).model.state_dict(), path)

    def calibrate(request: CellRequest, threads: int) -> Calibration:
        if request.checkpoint == str(wrong):
            raise UserError("does not fit")
        return make_calibration(*FEATURES)

    monkeypatch.setattr(benchmarks.matrix.plan_cells, "calibrate_in_process", calibrate)
    write_complete_run(make_request(tmp_path, checkpoint=str(wrong)), environment={"threads": 64})
    requests = [
        make_request(tmp_path, checkpoint=str(path), seed=seed) for path, seed in ((wrong, 0), (wrong, 1), (right, 0))
    ]
    states = [cell.state for cell in plan_cells(requests, threads=1, calibration=CalibrationBudget(60))]
    assert states == ["done", "impossible", "missing"]


def test_damaged_findings_are_none(tmp_path: Path) -> None:
    store_calibration("a" * 64, make_calibration(*FEATURES))
    assert load_calibration("a" * 64) == make_calibration(*FEATURES)
    for text in ("", "[]", "{}", '{"loops": [1]}'):
        (tmp_path / "cache" / "calibrations" / f"{'a' * 64}.json").write_text(text)
        assert load_calibration("a" * 64) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"overhead_seconds": math.nan}, {"overhead_seconds": -1.0}, {"overhead_seconds": "3"}, {"disk_bytes": None},
        {"overhead_seconds": 10**400}, {"overhead_seconds": 1e17}, {"peak_memory_mib": math.inf}, {"date": 5},
        {"date": "today"}, {"loop": {"total": math.nan}}, {"loop": {"phase": 3}}, {"loop": {"measured": -10}},
        {"loop": {"measured": "many"}}, {"loop": {"measured": 5e-324, "seconds": 1e17}},
    ],
)  # fmt: skip
def test_findings_that_no_measurement_gives_are_none(tmp_path: Path, damage: dict[str, Any]) -> None:
    store_calibration("a" * 64, make_calibration(*FEATURES))
    path = tmp_path / "cache" / "calibrations" / f"{'a' * 64}.json"
    content = json.loads(path.read_text())
    content["loops"][0] |= damage.get("loop", {})
    path.write_text(json.dumps(content | {name: value for name, value in damage.items() if name != "loop"}))
    assert load_calibration("a" * 64) is None


def test_steps_follow_from_the_settings(tmp_path: Path) -> None:
    def count(**changes: Any) -> int | None:
        return count_planned_steps(resolve_cell_parts(make_request(tmp_path, **changes)))

    assert count(task="mini_ade", protocol="linear") == 120
    assert count(protocol="finetune", data_scale=0.5) == 40 * 10
    assert count(protocol="finetune", overrides=("search.lr=[0.1, 0.2]",)) is None


def test_the_device_is_known_without_torch_where_no_gpu_can_be() -> None:
    assert find_device("cpu") == find_device("auto") == "cpu"


def test_a_plan_names_its_cells() -> None:
    cell = PlannedCell(CellRequest(task="digits", backbone="vit_nano"), "impossible")
    assert (cell.task, cell.backbone, cell.needs_run) == ("digits", "vit_nano", False)
