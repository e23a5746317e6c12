"""The state of every cell of a matrix: its id is that of a single run, and a stale record says what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import benchmarks.matrix.cell_states
from benchmarks.matrix.cell_states import CellStatus, find_cell_states, find_row_key
from benchmarks.resolve_cell import CellRequest, resolve_cell, resolve_cell_parts
from results.records.store import lock_folder, read_record, write_record
from tests.benchmarks.matrix.make import make_request, write_complete_run


def find_state(request: CellRequest, **options: Any) -> CellStatus:
    """The state of one cell."""
    (status,) = find_cell_states([request], **options)
    return status


def test_the_ids_are_those_of_single_runs(tmp_path: Path) -> None:
    mixed: list[dict[str, Any]] = [
        {"protocol": "linear", "seed": 3},
        {"protocol": "finetune", "tier": "smoke"},
        {"protocol": "finetune", "tier": "short", "overrides": ("optimizer.lr=0.01",)},
        {"data_scale": 0.5},
        {"backbone": "timm/test_vit"},
        {"task": "mini_ade", "protocol": None, "tier": "smoke"},
        {"task": "mini_lasot", "protocol": None, "tier": "smoke"},
    ]
    requests = [make_request(tmp_path, **{"seed": seed, **changes}) for changes in mixed for seed in (0, 1)]
    for request, status in zip(requests, find_cell_states(requests), strict=True):
        identity = resolve_cell(request).identity
        assert status.state == "missing"
        assert (status.run_id, status.comparability) == (identity.run_id, identity.comparability), request


def test_shared_work_is_done_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[CellRequest] = []
    work = resolve_cell_parts

    def count(request: CellRequest, *rest: Any) -> Any:
        resolved.append(request)
        return work(request, *rest)

    monkeypatch.setattr(benchmarks.matrix.cell_states, "resolve_cell_parts", count)
    find_cell_states([make_request(tmp_path, seed=seed) for seed in range(20)])
    assert len(resolved) == 1
    find_cell_states([make_request(tmp_path, seed=seed, overrides=("no_such=1",)) for seed in range(20)])
    assert len(resolved) == 2


def test_a_complete_record_is_done_and_only_its_own_seed(tmp_path: Path) -> None:
    folder, record = write_complete_run(make_request(tmp_path))
    done, missing = find_cell_states([make_request(tmp_path), make_request(tmp_path, seed=1)])
    assert (done.state, done.folder, done.run_id) == ("done", folder, record.run_id)
    assert (missing.state, missing.reason) == ("missing", "")
    assert find_row_key(done) == find_row_key(missing)
    assert find_state(make_request(tmp_path, force_new=True)).state == "missing"


def test_records_elsewhere_count_where_they_are_named(tmp_path: Path) -> None:
    write_complete_run(make_request(tmp_path / "other"))
    request = make_request(tmp_path / "own")
    assert find_state(request).state == "missing"
    assert find_state(request, runs=[tmp_path / "other"]).state == "done"


def test_a_damaged_record_elsewhere_stops_no_run(tmp_path: Path) -> None:
    folder, _ = write_complete_run(make_request(tmp_path / "other"))
    (folder / "record.json").write_text("{")
    request = make_request(tmp_path / "own")
    assert find_state(request, runs=[tmp_path / "other"]).state == "missing"
    write_complete_run(make_request(tmp_path / "third"))
    assert find_state(request, runs=[tmp_path / "other", tmp_path / "third"]).state == "done"


def test_the_folder_of_a_task_or_run_may_be_a_link(tmp_path: Path) -> None:
    folder, _ = write_complete_run(make_request(tmp_path / "disk"))
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "digits").symlink_to(tmp_path / "disk" / "digits")
    (tmp_path / "run" / "digits").mkdir(parents=True)
    (tmp_path / "run" / "digits" / folder.name).symlink_to(folder)
    (tmp_path / "run" / "digits" / "circle").symlink_to("circle")
    (tmp_path / "run" / "digits" / "up").symlink_to(tmp_path / "run")
    for store in ("task", "run"):
        found = find_state(make_request(tmp_path / store))
        assert (found.state, found.folder) == ("done", tmp_path / store / "digits" / folder.name)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol_version": 0}, "protocol version 0 -> "),
        ({"data": {"fingerprint": "0" * 64}}, "other data (00000000 -> "),
        ({"backbone": {"model": {"structure": "0" * 64}}}, "another network is built"),
        ({"config": {"recipe": {"k": 3}}}, "k: 3 -> 20"),
        ({"backbone": {"card": {"prefix_tokens": 7}}}, "card.prefix_tokens: 7 -> 1"),
        ({"task_source": "0" * 64}, "other code of the task (00000000 -> None)"),
    ],
)
def test_a_stale_record_says_what_changed(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    request = make_request(tmp_path)
    folder, _ = write_complete_run(request, **changes)
    status = find_state(request)
    assert (status.state, status.folder) == ("stale", folder)
    assert status.reason.startswith(reason)
    assert ";" not in status.reason


def test_another_request_is_no_older_version_of_this_one(tmp_path: Path) -> None:
    write_complete_run(make_request(tmp_path, overrides=("k=3",)))
    write_complete_run(make_request(tmp_path, data_scale=0.5))
    assert find_state(make_request(tmp_path)).state == "missing"
    assert find_state(make_request(tmp_path, overrides=("k=5",))).state == "missing"
    assert find_state(make_request(tmp_path, overrides=("k=3",))).state == "done"
    write_complete_run(make_request(tmp_path, overrides=("k=5",)), protocol_version=0)
    assert find_state(make_request(tmp_path, overrides=("k=5",))).state == "stale"


def test_a_broken_off_attempt_goes_on_and_a_withdrawn_one_is_missing(tmp_path: Path) -> None:
    request = make_request(tmp_path)
    folder, record = write_complete_run(request)
    write_record(folder, record.model_copy(update={"status": "invalidated", "reason": "wrong labels"}))
    status = find_state(request)
    assert (status.state, status.reason) == ("missing", "its record was withdrawn: wrong labels")
    later = folder.with_name(f"{folder.name}.2")
    later.mkdir()
    assert find_state(request).state == "unfinished"
    failed = {"status": "failed", "reason": "no space left", "result": None, "done": 0}
    write_record(later, read_record(folder).model_copy(update=failed))
    status = find_state(request)
    assert (status.state, status.folder, status.reason) == ("unfinished", later, "failed: no space left")
    write_record(later, read_record(folder).model_copy(update=failed | {"status": "running", "reason": None}))
    assert find_state(request).reason.endswith("no process works on it any more")
    with lock_folder(later):
        assert find_state(request).reason.endswith("at work still")
    (later / "record.json").write_text("{")
    status = find_state(request)
    assert status.state == "impossible"
    assert "--fresh" in status.reason


def test_impossible_cells_say_why_and_the_others_are_planned(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [
        {"task": "flowers", "data_root": tmp_path},
        {"protocol": "nonsense"},
        {"backbone": "vit_nanno"},
        {"seed": -1},
        {"task": "mini_ade", "protocol": None, "data_scale": 0.5},
        {"checkpoint": "no/such/file.pth"},
    ]
    *found, good = find_cell_states([*(make_request(tmp_path, **each) for each in bad), make_request(tmp_path)])
    words = ("bench get data flowers", "no protocol 'nonsense'", "vit_nano", "negative", "--data-scale", "no/such")
    for status, word in zip(found, words, strict=True):
        assert status.state == "impossible"
        assert word in status.reason
        assert (status.run_id, find_row_key(status)) == (None, None)
    assert good.state == "missing"


def test_a_module_in_memory_has_the_id_of_its_run(tmp_path: Path) -> None:
    import timm

    request = make_request(tmp_path, backbone=timm.create_model("test_vit"), checkpoint=None)
    status = find_state(request)
    assert (status.state, status.run_id) == ("missing", resolve_cell(request).identity.run_id)
