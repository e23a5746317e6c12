"""The reference board: each committed record follows from its files, and the table beside them from the records."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.matrix.executors.executor import CellResources
from benchmarks.matrix.suite import expand_suite, read_suite
from benchmarks.resolve_cell import CellRequest
from benchmarks.verify.verify_records import VerifyRequest, verify_records
from results.leaderboard.report import build_report
from results.records.record import PRETRAINING_DOMAIN
from results.records.store import ScanResult, scan_runs
from tests.conftest import ROOT
from tests.results.collect_reference_runs import TABLE_FILE, find_fault, render_table

MEASURED = ROOT / "results" / "reference_runs"
SUITE = ROOT / "suites" / "reference.toml"
FOUND = scan_runs([MEASURED])
SCORE = re.compile(r"\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)")
"""A score with its interval, as boards have it."""

MAX_BYTES = 15_000_000
"""Of everything in the store: a clone of the repository carries it."""

RERUN = [
    ("digits", "knn", "vit_pico"),
    ("digits", "knn", "efficientnet_lite0"),
    ("digits", "lowshot", "vit_nano"),
    ("digits", "linear", "vit_pico"),
    ("digits", "finetune", "vit_pico"),
    ("mini_lasot", "fast64", "vit_pico"),
    ("mini_ade", "semantic_fpn", "vit_nano"),
]
"""Task, protocol and backbone of the cells that are computed again: all of them on embedded data."""


def test_every_record_can_be_read() -> None:
    assert FOUND.errors == []
    assert {record.task for _, record in FOUND.records} >= {"cifar10", "digits"}


def test_every_record_may_be_published() -> None:
    """Complete, of committed code, without a folder of the machine that made it."""
    faults = {folder.name: fault for folder, record in FOUND.records if (fault := find_fault(folder, record))}
    assert faults == {}


def test_bench_verify_finds_nothing_wrong() -> None:
    """What ``bench verify results/reference_runs`` prints: each number follows from its files, under today's code."""
    report = verify_records(VerifyRequest(MEASURED))
    checks = [(folder, check) for folder, each in [*report.records, *report.ledgers] for check in each]
    assert [(folder, check) for folder, check in checks if check.state == "fails"] == []
    assert len(report.records) == len(FOUND.records)


def test_the_table_follows_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # a command in the table names the folder as it was given, which was relative
    assert render_table() == (MEASURED / TABLE_FILE).read_text(encoding="utf-8")


def test_every_record_is_a_cell_of_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    """So one command makes all of them again. What another version of a protocol made stays a cell of it."""
    monkeypatch.chdir(ROOT)
    cells = expand_suite(read_suite(str(SUITE)), CellRequest("", ""), CellResources()).cells
    wanted = {
        (r.task, r.protocol, r.tier, r.backbone, r.checkpoint and Path(r.checkpoint).name, r.seed, r.data_scale)
        for r in (cell.request for cell in cells)
    }
    for folder, record in FOUND.records:
        if record.domain == PRETRAINING_DOMAIN:
            continue
        start = record.backbone.checkpoint
        named = Path(start.uri).parent.name if start and record.backbone.init == "checkpoint" else None
        is_random = "--checkpoint random" in " ".join(record.environment.command)
        cell = (record.task, record.protocol, record.tier, record.backbone.name, "random" if is_random else named)
        assert (*cell, record.seed, record.config.get("data_scale", 1.0)) in wanted, folder


@pytest.mark.parametrize("page", ["README.md", "docs/explanation/reference-runs.md"])
def test_scores_in_prose_are_those_of_the_table(page: str) -> None:
    """A quoted row leaves columns out, but its score with its interval stands in the table beside that backbone."""
    lines = (MEASURED / TABLE_FILE).read_text(encoding="utf-8").splitlines()
    quoted = [line for line in (ROOT / page).read_text(encoding="utf-8").splitlines() if SCORE.search(line)]
    assert quoted
    for row in quoted:
        (score,), name = SCORE.findall(row)[:1], row.split("|")[2].strip()
        assert any(score in line and f" {name} " in line for line in lines), row


def test_the_store_stays_small() -> None:
    assert sum(path.stat().st_size for path in MEASURED.rglob("*") if path.is_file()) <= MAX_BYTES


def test_pretraining_wins_by_more_than_the_interval() -> None:
    """Equal fine-tuning on a tenth of CIFAR-10's labels, three seeds each."""
    chosen = [found for found in FOUND.records if found[1].protocol == "finetune_32"]
    (board,) = build_report(ScanResult(chosen, [])).table.boards
    best, scratch = board.rows
    assert (len(best.seeds), len(scratch.seeds)) == (3, 3)
    assert scratch.is_random_baseline
    assert best.interval is not None
    assert scratch.interval is not None
    assert best.interval.low > scratch.interval.high


@pytest.mark.soak
@pytest.mark.parametrize("cell", RERUN, ids="-".join)
def test_a_cell_gives_its_number_again(cell: tuple[str, str, str]) -> None:
    """Computed again from the record alone; elsewhere than on the machine that made it, a difference proves nothing."""
    chosen = [
        folder
        for folder, each in FOUND.records
        # weights need not be here
        if (each.task, each.protocol, each.backbone.name) == cell and each.backbone.init == "random"
    ]
    report = verify_records(VerifyRequest(min(chosen), reruns_all=True))
    ((_, checks),) = report.records
    assert [check for check in checks if check.state == "fails"] == []
    assert {check.subject for check in checks} >= {"items run again"}
