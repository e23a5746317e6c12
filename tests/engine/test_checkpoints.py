from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from engine.checkpoints import (
    CheckpointHook,
    CheckpointRunner,
    ValidationResult,
    find_resume_checkpoint,
    read_checkpoint,
)
from engine.training_checks.checkpoint_digests import CheckpointOwner, checkpoint_writer
from foundation.errors import CheckpointError


def hook(tmp_path: Path, values: list[float], higher: bool = True) -> CheckpointHook:
    made = CheckpointHook(tmp_path, "m", higher, by_epoch=True)
    made.validations = [ValidationResult(step, value) for step, value in enumerate(values, 1)]
    return made


def test_best_follows_the_direction_and_ties_go_to_the_later(tmp_path: Path) -> None:
    assert hook(tmp_path, [1, 3, 2]).best_validation.step == 2
    assert hook(tmp_path, [1, 3, 3, 2]).best_validation.step == 3
    assert hook(tmp_path, [2, 1, 1, 3], higher=False).best_validation.step == 3


def test_without_a_validation_there_is_no_best(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no epoch can be chosen"):
        _ = hook(tmp_path, []).best_validation


def test_newest_whole_goes_back_over_a_broken_file_and_keeps_it(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(3)}, tmp_path / "step_00000001.pth")
    whole = (tmp_path / "step_00000001.pth").read_bytes()
    (tmp_path / "step_00000002.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / ".step_00000003.pth.tmp").write_bytes(b"half")
    said: list[str] = []
    assert find_resume_checkpoint(tmp_path, said.append) == tmp_path / "step_00000001.pth"
    assert "step_00000002.pth cannot be read" in said[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_00000001.pth", "step_00000002.broken"]


def test_newest_whole_of_nothing(tmp_path: Path) -> None:
    assert find_resume_checkpoint(tmp_path, lambda _: None) is None


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(tmp_path / "bomb.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("has_digest", [False, True])
def test_a_pipe_with_the_name_of_a_checkpoint_is_not_waited_for(has_digest: bool, tmp_path: Path) -> None:
    path = tmp_path / "last_00000001.pth"
    if has_digest:
        with checkpoint_writer(path, CheckpointOwner("", 0)) as partial:
            torch.save({}, partial)
        path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_checkpoint(path)


def test_a_resume_with_other_keys_fails_where_mmengine_would_go_on(tmp_path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(1, 1)}}, tmp_path / "x.pth")
    runner: Any = SimpleNamespace(model=nn.Linear(1, 1), call_hook=lambda *_, **__: None)
    with pytest.raises(CheckpointError, match="1 names missing"):
        CheckpointRunner.load_checkpoint(runner, str(tmp_path / "x.pth"))


def test_state_travels_through_a_checkpoint(tmp_path: Path) -> None:
    first, second = hook(tmp_path, [1, 2]), hook(tmp_path, [])
    checkpoint: dict[str, Any] = {"meta": {"epoch": 2, "iter": 40}}
    first.before_save_checkpoint(None, checkpoint)
    second.after_load_checkpoint(None, checkpoint)
    assert second.validations == first.validations
    assert second.elapsed_seconds >= checkpoint["bench"]["seconds"]


def test_where_nothing_is_chosen_the_last_weights_count(tmp_path: Path) -> None:
    made = CheckpointHook(tmp_path, "m", True, by_epoch=True, select_best=False)
    made.validations = [ValidationResult(1, 3.0), ValidationResult(2, 9.0), ValidationResult(3, 1.0)]
    assert made.best_validation.step == 3
    assert made.get_best_path() == tmp_path / "last_00000003.pth"


def test_a_checkpoint_of_another_network_is_named_with_the_way_out(tmp_path: Path) -> None:
    torch.save({"state_dict": nn.Linear(2, 3).state_dict() | {"predict.bias": torch.zeros(1)}}, tmp_path / "old.pth")
    runner: Any = SimpleNamespace(model=nn.Linear(2, 3), call_hook=lambda *_, **__: None)
    with pytest.raises(CheckpointError, match=r"0 names missing, 1 unknown: predict.bias.*--fresh"):
        CheckpointRunner.load_checkpoint(runner, str(tmp_path / "old.pth"))


def test_files_of_later_steps_do_not_push_out_the_present_ones(tmp_path: Path) -> None:
    """As after a resume that set the two newest checkpoints aside as damaged."""
    for step in (8, 9):
        (tmp_path / f"best_{step:08d}.pth").write_bytes(b"of an attempt whose checkpoints were damaged")
    keeper = CheckpointHook(tmp_path, "top1", True, by_epoch=True)
    saved: list[str] = []
    runner = SimpleNamespace(
        rank=0,
        model=nn.Linear(2, 2),
        checkpoint_owner=CheckpointOwner("", 0),
        save_checkpoint=lambda folder, name, **words: saved.append(name),
    )
    for step, value in ((3, 50.0), (4, 60.0)):
        keeper._save_validated(runner, step, step, value)
        assert keeper.get_best_path().is_file()
    assert sorted(path.name for path in tmp_path.glob("best_*.pth")) == ["best_00000003.pth", "best_00000004.pth"]
    assert saved == ["step_00000003.pth", "step_00000004.pth"]
