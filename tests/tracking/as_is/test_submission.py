"""Sets whose ground truth is on a server: the archive is written, and nothing that looks like a number."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.task_registry import TASKS
from engine.evaluation.model_source import ModelSource
from foundation.errors import DataError, UserError
from results.score_request import ScoreRequest
from tests.tracking.as_is.make import make_run
from tests.tracking.data.readers import make_sets
from tracking.as_is.submission import write_submission
from tracking.scoring import submission
from tracking.scoring.command import pack_tracking_submission
from tracking.test_sets import ServerSetTask


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "mine")


def get_task(name: str) -> ServerSetTask:
    task = TASKS.get(name)
    assert isinstance(task, ServerSetTask) and task.needs_server
    return task


SETS: list[tuple[str, Callable[[Path], Path], list[str]]] = [
    (
        "got10k_test",
        make_sets.make_got10k_test,
        [
            f"GOT-10k_Test_{number:06d}/GOT-10k_Test_{number:06d}_{part}.txt"
            for number in (1, 2, 3)
            for part in ("001", "time")
        ],
    ),
    ("trackingnet", make_sets.make_trackingnet, ["-1a_0.txt", "zz_7.txt"]),
]


@pytest.mark.parametrize(("name", "make", "names"), SETS)
def test_a_submission_is_written_and_said(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    make: Callable[[Path], Path],
    names: list[str],
) -> None:
    root, out = make(tmp_path / "data"), tmp_path / "out"
    source = ModelSource(run=run, device="cpu")
    with pytest.raises(DataError, match="its server takes complete results only"):
        write_submission(source, get_task(name), root, out)
    assert not out.exists(), "refused before hours of tracking"
    few = {"got10k_test": 3, "trackingnet": 2}[name]
    small = replace(submission.SERVER_TEST_SETS[name], expected_sequences=few)
    monkeypatch.setitem(submission.SERVER_TEST_SETS, name, small)
    report = write_submission(source, get_task(name), root, out)
    assert "upload it to the server" in report.text and "no number and no record" in report.text
    assert report.data["archive"] == str(out / f"{name}.zip") and report.data["sequences"] == few
    assert report.data["model"]["name"] == "vit_micro" and not list(out.glob("record.json"))
    with zipfile.ZipFile(out / f"{name}.zip") as archive:
        assert sorted(archive.namelist()) == names
        first = archive.read(names[0]).decode().splitlines()
    assert len(first) == {"got10k_test": 4, "trackingnet": 12}[name]
    request = ScoreRequest(name, (out / "tracked",), data_root=root, out_file=tmp_path / "again.zip")
    pack_tracking_submission(request)
    assert (tmp_path / "again.zip").read_bytes() == (out / f"{name}.zip").read_bytes(), "as bench score packs it"
    with pytest.raises(UserError, match="leave out --set max_items"):
        write_submission(replace(source, overrides=("max_items=2",)), get_task(name), root, tmp_path / "other")


def test_there_is_no_number(run: Path, tmp_path: Path) -> None:
    root = make_sets.make_got10k_test(tmp_path)
    opened = get_task("got10k_test").open_evaluation(ModelSource(run=run, device="cpu"), root)
    with pytest.raises(UserError, match="the ground truth of got10k_test is on a server, so there is no number"):
        opened.run(tmp_path / "out")
    assert opened.plan.config == {"recipe": {"rules": "those of its server"}}, "a dry run must not name LaSOT's"
    assert not (tmp_path / "out").exists() and opened.measure_cost() is None
