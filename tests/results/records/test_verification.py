from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from results.records.record import Record, StartCheckpoint
from results.records.verification import VerificationCheck, verify_record
from results.statistics import item_files
from results.statistics.item_files import read_verified_file
from results.statistics.ranking import StoredRun
from tests.results.make import make_record, write_digits_run


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    return write_digits_run(tmp_path / "run", "vit_nano", [place % 3 > 0 for place in range(40)])


def states(checks: list[VerificationCheck]) -> dict[str, str]:
    """The worst that was said of each thing."""
    order = ("holds", "unchecked", "fails")
    found: dict[str, str] = {}
    for check in checks:
        found[check.subject] = max(found.get(check.subject, "holds"), check.state, key=order.index)
    return found


def test_a_whole_run_holds(run: StoredRun) -> None:
    found = states(verify_record(*run))
    assert set(found.values()) == {"holds"}
    assert {"run_id", "comparability", "start weights", "items.csv", "top1", "mean_per_class"} <= found.keys()


def test_the_table_is_read_once(run: StoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every metric and every check computes from the same bytes."""
    read: list[Path] = []
    monkeypatch.setattr(
        item_files, "read_verified_file", lambda path, sha256: (read.append(path), read_verified_file(path, sha256))[1]
    )
    assert len(run[1].result.metrics if run[1].result else ()) > 1
    assert set(states(verify_record(*run)).values()) == {"holds"}
    assert [path.name for path in read] == ["items.csv"]


def test_a_table_that_was_changed_fails_everywhere(run: StoredRun) -> None:
    path = run[0] / "items.csv"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6", 1) + b"\n")
    found = states(verify_record(*run))
    assert {found[name] for name in ("per-item files", "top1", "mean_per_class")} == {"fails"}


def edited(content: dict[str, Any], path: str, value: Any) -> Record:
    inner: Any = content
    *parents, last = path.split("/")
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return Record.model_validate(content)


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        ("result/metrics/top1/value", 99.0, "top1"),
        ("result/metrics/mean_per_class/value", 66.0, "mean_per_class"),
        ("result/metrics/top1/n", 41, "top1"),
        ("seed", 1, "run_id"),
        ("tier", "short", "comparability"),
        ("backbone/name", "vit_tiny", "backbone"),
        ("backbone/card/name", "vit_tiny", "run_id"),
        ("backbone/init", "card", "run_id"),
        ("config/recipe/epochs", 400, "comparability"),
        ("data/fingerprint", "0" * 64, "comparability"),
        ("result/items/sha256", "0" * 64, "per-item files"),
        ("result/items/rows", 41, "number of items"),
    ],
)
def test_a_record_edited_by_hand_is_found(run: StoredRun, path: str, value: Any, what: str) -> None:
    folder, whole = run
    assert states(verify_record(folder, edited(whole.model_dump(), path, value)))[what] == "fails"


def test_an_interval_that_was_edited_is_found(run: StoredRun) -> None:
    folder, whole = run
    interval = {"low": 52.0989, "high": 78.5, "level": 0.95, "method": "wilson", "resampling_unit": "images"}
    assert states(verify_record(folder, edited(whole.model_dump(), "result/metrics/top1/interval", interval)))[
        "interval of top1"
    ] == "fails"  # fmt: skip
    strange = interval | {"method": "by eye"}
    assert states(verify_record(folder, edited(whole.model_dump(), "result/metrics/top1/interval", strange)))[
        "interval of top1"
    ] == "unchecked"  # fmt: skip


def test_the_start_weights_are_hashed_where_they_are(run: StoredRun, tmp_path: Path) -> None:
    folder, whole = run
    file = tmp_path / "start.pth"
    file.write_bytes(b"weights")
    checkpoint = StartCheckpoint(uri=str(file), sha256=hashlib.sha256(b"weights").hexdigest(), bytes=7)
    with_start = whole.model_copy(update={"backbone": whole.backbone.model_copy(update={"checkpoint": checkpoint})})
    assert states(verify_record(folder, with_start))["start weights"] == "holds"
    file.write_bytes(b"others!")
    assert states(verify_record(folder, with_start))["start weights"] == "fails"
    with file.open("wb") as sparse:
        sparse.truncate(10**13)  # which nobody could hash
    assert states(verify_record(folder, with_start))["start weights"] == "fails"
    file.unlink()
    assert states(verify_record(folder, with_start))["start weights"] == "unchecked"


def test_tracked_boxes_are_hashed(run: StoredRun) -> None:
    folder, whole = run
    (folder / "tracked").mkdir()
    sums = {}
    for name in ("x", "y"):
        (folder / "tracked" / f"{name}.txt").write_text(name)
        sums[name] = hashlib.sha256(name.encode()).hexdigest()
    table = "sequence,AUC,boxes\n" + "".join(f"{name},50.0,{digest}\n" for name, digest in sums.items())
    (folder / "items.csv").write_text(table)
    content = whole.model_dump() | {"done": 2, "expected": 2}
    content["result"]["items"] |= {"sha256": hashlib.sha256(table.encode()).hexdigest(), "rows": 2}
    tracked = Record.model_validate(content)
    assert states(verify_record(folder, tracked))["tracked boxes"] == "holds"
    (folder / "tracked" / "x.txt").write_text("z")
    assert states(verify_record(folder, tracked))["tracked boxes"] == "fails"
    (folder / "tracked" / "x.txt").unlink()
    assert states(verify_record(folder, tracked))["tracked boxes"] == "unchecked"


def test_a_run_without_numbers_and_an_old_record(tmp_path: Path) -> None:
    assert states(verify_record(tmp_path, make_record(status="failed")))["per-item files"] == "unchecked"
    old = states(verify_record(tmp_path, make_record()))
    assert (old["run_id"], old["comparability"]) == ("unchecked", "holds"), "schema 1 made run_id of other fields"
