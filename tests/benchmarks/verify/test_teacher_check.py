"""A teacher's weights are compared with the file from which a student learned, where that is at hand."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

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
