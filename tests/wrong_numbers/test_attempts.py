"""Point 14: a run that was interrupted and resumed keeps where and how every attempt at it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.cell_record
import classification.finetune
import engine.run_environment
from benchmarks.cli.main import main
from engine.data.decode import describe_decoder
from foundation.errors import BenchError
from results.records.ledger import read_ledgers
from results.records.record import Record
from results.records.store import read_record

RUN = ("run", "digits", "--backbone", "vit_pico", "--tier", "smoke", "--device", "cpu")
OTHERWISE = "goes on from an attempt that was made otherwise"


@pytest.fixture(autouse=True)
def _keep_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def interrupt_run(out: Path, is_killed: bool = False) -> Path:
    """Train, and end before the test; a killed process has no time to write that it failed."""
    with pytest.MonkeyPatch.context() as patch:

        def fail(*words: Any) -> Any:
            raise BenchError("the disk is full")

        patch.setattr(classification.finetune, "evaluate_test_split", fail)
        if is_killed:
            write = benchmarks.cell_record.write_record
            patch.setattr(
                benchmarks.cell_record,
                "write_record",
                lambda folder, record: None if record.status == "failed" else write(folder, record),
            )
        assert main([*RUN, "--out", str(out)]) == 1
    (folder,) = out.glob("digits/*")
    assert read_record(folder).status == ("running" if is_killed else "failed")
    return folder


def resume_run(out: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Record, list[str]]:
    """The complete record, and the lines that say what has changed."""
    capsys.readouterr()
    assert main([*RUN, "--out", str(out)]) == 0
    return read_record(folder), [line for line in capsys.readouterr().err.splitlines() if OTHERWISE in line]


@pytest.mark.parametrize("is_killed", [pytest.param(False, marks=pytest.mark.soak), True])
def test_a_resume_with_other_threads_lists_both_attempts_and_says_so(
    is_killed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = interrupt_run(tmp_path, is_killed)
    torch.set_num_threads(2)
    record, said = resume_run(tmp_path, folder, capsys)
    assert len(said) == 1 and "(threads 1 -> 2)" in said[0] and "the record lists both" in said[0]
    assert [each.threads for each in record.earlier_attempts] == [1] and record.environment.threads == 2
    assert record.status == "complete" and record.cost is not None and record.cost.attempts == 2
    assert record.earlier_attempts[0].started < record.environment.started
    events = [line.event.event for line in read_ledgers(tmp_path)[0].lines]
    assert events == ["started", *(["failed"] * (not is_killed)), "started", "complete"]


def test_a_resume_as_before_says_nothing_and_lists_both_attempts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record, said = resume_run(tmp_path, interrupt_run(tmp_path), capsys)
    assert said == [] and [each.threads for each in record.earlier_attempts] == [1]
    assert record.environment.image_decoder == describe_decoder(record.domain)


def test_a_resume_under_another_version_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = interrupt_run(tmp_path)
    collect = engine.run_environment.collect_package_versions
    monkeypatch.setattr(engine.run_environment, "collect_package_versions", lambda: collect() | {"numpy": "9.9"})
    record, (line,) = resume_run(tmp_path, folder, capsys)
    assert "numpy" in line and "-> 9.9" in line
    assert record.earlier_attempts[0].packages["numpy"] != record.environment.packages["numpy"] == "9.9"


def test_show_run_lists_the_attempts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = interrupt_run(tmp_path)
    torch.set_num_threads(2)
    resume_run(tmp_path, folder, capsys)
    assert main(["show", "run", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    first, second = lines[lines.index("attempts:") + 1 :][:2]
    assert first.startswith("  1: 2") and ", cpu, 1 thread, torch " in first and "changed" not in first
    assert second.startswith("  2: 2") and ", cpu, 2 threads, torch " in second
    assert second.endswith("changed: threads 1 -> 2")
    assert main(["show", "run", str(folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["earlier_attempts"]) == 1
