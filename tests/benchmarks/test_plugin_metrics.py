"""The complete example of docs/guides/add-a-task.md as an installed package: it runs, is ranked, compared and verified.

Its first metric, a correlation, is no mean over items; its second is one.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from results.records.store import scan_runs
from tests.conftest import ROOT, Bench

GUIDE = (ROOT / "docs" / "guides" / "add-a-task.md").read_text()


def extract_block(language: str) -> str:
    found = re.search(rf"```{language}\n# \S+\n(.*?)```", GUIDE, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder on the path, as pip leaves it: the package of the guide, and its entry points."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "my_package").mkdir()
    (folder / "my_package" / "__init__.py").write_text("")
    (folder / "my_package" / "ink.py").write_text(extract_block("python"))
    points = re.sub(r'\[project\.entry-points\."(.*?)"\]', r"[\1]", extract_block("toml")).replace('"', "")
    info = folder / "ink_task-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ink-task\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    return os.pathsep.join([str(ROOT), str(folder)])


@pytest.fixture(scope="module")
def runs(site: str, bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two backbones on it, two seeds each, by the command line."""
    out = tmp_path_factory.mktemp("runs")
    for backbone, seed in itertools.product(("vit_nano", "vit_pico"), ("0", "1")):
        words = ("run", "ink", "--backbone", backbone, "--seed", seed, "--tier", "smoke", "--out", str(out))
        done = bench(*words, PYTHONPATH=site)
        assert done.returncode == 0, done.stderr
    return out


def read_boards(bench: Bench, runs: Path, **env: str) -> list[dict[str, Any]]:
    done = bench("table", "--runs", str(runs), "--json", **env)
    assert done.returncode == 0, done.stderr
    boards: list[dict[str, Any]] = json.loads(done.stdout)["boards"]
    return boards


def test_it_is_ranked_compared_and_verified(bench: Bench, site: str, runs: Path) -> None:
    (board,) = read_boards(bench, runs, PYTHONPATH=site)
    assert board["primary_metric"] == "r"
    best, other = board["rows"]
    assert (best["backbone"], best["rank"], other["rank"]) == ("vit_nano", 1, 2)
    for row in (best, other):
        assert row["interval"]["low"] < row["metrics"]["r"] < row["interval"]["high"]
        assert row["interval"]["method"] == "seeds and items, 2 seeds"
    compared = json.loads(
        bench("compare", "vit_nano", "vit_pico", "--runs", str(runs), "--json", PYTHONPATH=site).stdout
    )
    assert compared[0]["difference"] == pytest.approx(best["metrics"]["r"] - other["metrics"]["r"])
    verified = bench("verify", str(runs), PYTHONPATH=site)
    assert verified.returncode == 0, verified.stdout
    assert len(re.findall(r"ok +r: .* follows from 359 items", verified.stdout)) == 4
    assert len(re.findall(r"ok +mean_error: .* % follows from 359 items", verified.stdout)) == 4
    assert "FAIL" not in verified.stdout


def test_both_metrics_have_intervals_and_ranks(site: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, where the package is not installed: the mean needs nothing of it."""
    from results.statistics.ranking import rank_rows

    found = scan_runs([runs]).records
    rows = [[run for run in found if run[1].backbone.name == name] for name in ("vit_nano", "vit_pico")]
    assert [each.rank for each in rank_rows(rows, "mean_error", False)] in ([1, 2], [2, 1], [1, 1])
    assert all(each.interval is not None for each in rank_rows(rows, "mean_error", False))
    assert [each.rank for each in rank_rows(rows, "r", True)] == [None, None]


def test_without_the_package_the_number_is_shown_and_not_ranked(bench: Bench, runs: Path) -> None:
    (board,) = read_boards(bench, runs)
    for row in board["rows"]:
        assert row["rank"] is None
        assert row["metrics"]["r"] > 0.8
        assert "the metric's function 'ink_correlation' is not installed" in row["note"]
    verified = bench("verify", str(runs))
    assert verified.returncode == 0, verified.stdout
    assert re.search(r"\? +r: the metric's function 'ink_correlation' is not installed", verified.stdout)
    assert re.search(r"ok +mean_error: ", verified.stdout)


def test_an_edited_item_file_is_found(bench: Bench, site: str, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs, tmp_path / "runs")
    path = next((tmp_path / "runs").rglob("items.csv"))
    head, first, *rest = path.read_text().splitlines()
    item, *cells = first.split(",")
    path.write_text("\n".join([head, ",".join([item, "99.0", *cells[1:]]), *rest, ""]))
    verified = bench("verify", str(path.parent), PYTHONPATH=site)
    assert verified.returncode == 1
    assert re.search(r"FAIL r: .*items\.csv is not the file that its record was made with", verified.stdout)


def test_a_task_that_declares_its_metric_anew_contradicts_old_records(
    bench: Bench, site: str, runs: Path, tmp_path: Path
) -> None:
    package = tmp_path / "my_package"
    shutil.copytree(Path(site.split(os.pathsep)[1]), tmp_path, dirs_exist_ok=True)
    code = (package / "ink.py").read_text()
    (package / "ink.py").write_text(code.replace('MetricStatistic("mean", ("error",))', "None"))
    verified = bench("verify", str(runs), PYTHONPATH=os.pathsep.join([str(ROOT), str(tmp_path)]))
    assert verified.returncode == 1
    assert re.search(r"FAIL mean_error: the task declares None, the record says MetricStatistic", verified.stdout)


def test_its_controls_lose_their_score(bench: Bench, site: str) -> None:
    done = bench("check", "task", "ink", "--controls", "--json", PYTHONPATH=site)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["verdicts"] == {"ridge": "ok"}
    assert {line["metric"] for line in found["runs"]} == {"mean_error"}
    baseline, intact, *controls = (line["value"] for line in found["runs"])
    assert intact < baseline / 2 and all(value > 0.9 * baseline for value in controls)
