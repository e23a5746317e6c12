"""A teacher's weights are compared with the file from which a student learned, where that is at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from benchmarks.verify import teacher_check
from benchmarks.verify.teacher_check import check_teacher
from tests.results.make import make_record


def judge(**changes: Any) -> list[tuple[str, str]]:
    return [(check.state, check.message) for check in check_teacher(make_record(**changes))]


def test_the_file_that_was_named(tmp_path: Path) -> None:
    file = tmp_path / "teacher.pth"
    file.write_bytes(b"weights")
    config = {"recipe": {}, "teacher": {"card": {"name": "vit_pico"}, "sha256": hashlib.sha256(b"weights").hexdigest()}}
    named: dict[str, Any] = {"config": config, "non_identity_settings": {"teacher_checkpoint": str(file)}}
    ((state, message),) = judge(**named)
    assert state == "holds" and str(file) in message
    file.write_bytes(b"others")
    ((state, message),) = judge(**named)
    assert state == "unchecked" and "other weights here" in message
    file.unlink()
    ((state, message),) = judge(**named)
    assert state == "unchecked" and "not where the run had them" in message


def test_a_teacher_without_a_file_here_is_said_and_no_teacher_is_not() -> None:
    for name in ("vit_pico", "gone"):
        config = {"recipe": {}, "teacher": {"card": {"name": name}, "sha256": "a" * 64}}
        ((state, message),) = judge(config=config)
        assert state == "unchecked" and "aaaaaaaaaaaa... of the teacher are not read again" in message
    assert judge() == judge(config={"recipe": {}, "teacher": None}) == []


def test_a_run_that_was_named_is_read_and_not_called_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run has several weights; those that it was tested with taught."""
    run, tested = tmp_path / "run", tmp_path / "tested.pth"
    run.mkdir()
    (run / "record.json").write_text("{}")
    tested.write_bytes(b"weights")
    monkeypatch.setattr(teacher_check, "read_finetuned_run", lambda folder: folder)
    monkeypatch.setattr(teacher_check, "find_tested_weights", lambda found: tested if found == run else None)
    config = {"recipe": {}, "teacher": {"card": {"name": "vit_pico"}, "sha256": hashlib.sha256(b"weights").hexdigest()}}
    ((state, message),) = judge(config=config, non_identity_settings={"teacher_checkpoint": str(run)})
    assert state == "holds" and str(tested) in message


def test_a_pre_training_says_that_its_record_names_no_file() -> None:
    config = {"recipe": {}, "teacher": {"card": {"name": "vit_pico"}, "sha256": "a" * 64}}
    ((state, message),) = judge(config=config)
    assert state == "unchecked" and "does not say where they were" in message
