"""A resumed training goes on from its own, whole checkpoints; anything else falls back to the one before it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.cli.main import main
from benchmarks.run_cell import CellRequest, run_cell
from engine.checkpoints import find_resume_checkpoint, read_checkpoint
from engine.training import evaluate_test_split, train_model
from engine.training_checks import checkpoint_digests
from engine.training_checks.checkpoint_digests import CheckpointOwner, find_digest_fault, get_digest_path
from foundation.errors import CheckpointError
from tests.wrong_numbers.small_training import StopAfter, make_job


def train(folder: Path, stop_after: int | None = None, **changes: Any) -> dict[str, torch.Tensor]:
    """The weights at the end; with ``stop_after`` the training is interrupted after that epoch, with nothing back."""
    hooks = (StopAfter(stop_after),) if stop_after else ()
    job = make_job(folder, hooks=hooks, **{"run_id": "aaaa", **changes})
    if stop_after:
        with pytest.raises(KeyboardInterrupt):
            train_model(job)
        return {}
    state: dict[str, torch.Tensor] = read_checkpoint(train_model(job).weights_path)["state_dict"]
    return state


def are_equal(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, two[name]) for name, value in one.items())


def flip_bits(path: Path, count: int = 40) -> None:
    """Flip the lowest bit of bytes of the weights, which torch stores uncompressed and does not check."""
    weight = torch.load(path, weights_only=True)["state_dict"]["backbone.1.weight"].numpy().tobytes()
    content = bytearray(path.read_bytes())
    start = content.index(weight)
    for place in range(count):
        content[start + 2 + 2 * place] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return train(tmp_path_factory.mktemp("whole"))


def test_an_interrupted_training_ends_where_an_undisturbed_one_does(undisturbed: Any, tmp_path: Path) -> None:
    train(tmp_path, stop_after=3)
    assert are_equal(train(tmp_path), undisturbed)
    assert not list(tmp_path.rglob("*.broken"))


@pytest.mark.parametrize("name", ["step_00000003.pth", "last_00000003.pth"])
def test_a_damaged_file_falls_back_to_the_one_before(
    name: str, undisturbed: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, stop_after=3)
    path = tmp_path / "checkpoints" / name
    flip_bits(path)
    torch.load(path, weights_only=True)  # torch says nothing
    assert are_equal(train(tmp_path), undisturbed)
    said = capfd.readouterr().err
    assert f"{name} is damaged: its SHA-256 is not that of the file that was written; trying the checkpoint" in said
    assert (tmp_path / "checkpoints" / "step_00000003.broken").is_file()


def test_a_damaged_best_file_of_a_complete_training_is_never_tested(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It was the best for several epochs: every checkpoint that is left would test it."""
    whole = train(tmp_path / "whole", select_best=True)
    train(tmp_path / "hit", select_best=True)
    (first,) = sorted((tmp_path / "hit" / "checkpoints").glob("best_*.pth"))[-1:]
    flip_bits(first)
    job = make_job(tmp_path / "hit", select_best=True)
    with pytest.raises(CheckpointError, match="is damaged"):
        evaluate_test_split(job, first)
    assert are_equal(train(tmp_path / "hit", select_best=True), whole)
    assert "is damaged" in capfd.readouterr().err


def test_files_of_another_seed_are_not_used(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    whole = train(tmp_path / "whole", seed=1)
    train(tmp_path / "seed0", stop_after=3, seed=0)
    for run_id in ("", "bbbb"):  # also where a library user gave no id
        folder = tmp_path / f"seed1{run_id}"
        shutil.copytree(tmp_path / "seed0", folder)
        assert are_equal(train(folder, seed=1, run_id=run_id), whole)
        said = capfd.readouterr().err
        assert "step_00000003.pth belongs to run aaaa, seed 0, not this one; trying the checkpoint before it" in said
        assert "step_00000002.pth belongs to run aaaa, seed 0, not this one; the training starts anew" in said


def test_files_of_another_run_with_the_same_seed_are_not_used(
    undisturbed: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path, stop_after=3, run_id="bbbb", recipe_optimizer={"name": "SGD", "lr": 0.3})
    assert are_equal(train(tmp_path), undisturbed)
    assert "belongs to run bbbb, seed 0, not this one" in capfd.readouterr().err


def test_trainings_of_one_search_do_not_share_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from classification import finetune
    from tests.classification.test_finetune import run

    ids = []
    real = finetune.train_model
    monkeypatch.setattr(finetune, "train_model", lambda job: (ids.append(job.run_id), real(job))[1])
    monkeypatch.setattr(
        "tests.classification.test_finetune.make_request",
        lambda *words, **more: finetune_request(*words, **more, run_id="aaaa"),
    )
    run(tmp_path, "search.lr=[1e-3, 2e-3]", "train_on=train+val")
    assert ids == ["aaaa/lr0.001-decay1", "aaaa/lr0.002-decay1", "aaaa/final"]


def finetune_request(*words: Any, **more: Any) -> Any:
    from tests.classification.probes.frozen_features import make_request

    return make_request(*words, **more)


def test_checkpoints_of_an_earlier_version_are_refused_with_the_way_out(undisturbed: Any, tmp_path: Path) -> None:
    train(tmp_path, stop_after=3)
    shutil.rmtree(tmp_path / "checkpoints" / "sha256")
    with pytest.raises(CheckpointError, match=r"have no digests to check them by .*; run again with --fresh"):
        train(tmp_path)
    assert are_equal(train(tmp_path, run_id=""), undisturbed), "a library user, who gives no id, may go on"


@pytest.mark.parametrize("content", ["", "{}", '{"run_id": "aaaa"', "[]"])
def test_a_damaged_digest_falls_back_too(content: str, tmp_path: Path) -> None:
    train(tmp_path, stop_after=3)
    folder, said = tmp_path / "checkpoints", []
    get_digest_path(folder / "step_00000003.pth").write_text(content)
    found = find_resume_checkpoint(folder, said.append, CheckpointOwner("aaaa", 0))
    assert found == folder / "step_00000002.pth" and "cannot be checked, as its digest in" in said[0]


def test_a_lost_digest_falls_back_too(tmp_path: Path) -> None:
    train(tmp_path, stop_after=3)
    folder, said = tmp_path / "checkpoints", []
    get_digest_path(folder / "step_00000003.pth").unlink()
    found = find_resume_checkpoint(folder, said.append, CheckpointOwner("aaaa", 0))
    assert found == folder / "step_00000002.pth" and "has no digest to check it by" in said[0]


class Killed(BaseException):
    """Stands for a kill at one point of saving."""


@pytest.mark.parametrize("saves", [1, 2])
@pytest.mark.parametrize("point", ["before the digest", "before the rename", "after the rename"])
def test_a_kill_at_any_point_of_saving_leaves_what_a_resume_can_use(
    point: str, saves: int, undisturbed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the weights (1) or the step (2) of the third epoch are written."""
    train(tmp_path, stop_after=2)
    left = [saves]

    def kill_now(*_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            raise Killed

    real_write, real_replace = checkpoint_digests.write_atomic, Path.replace

    def write(path: Path, content: str) -> None:
        if point == "before the digest":
            kill_now()
        real_write(path, content)

    def replace(source: Path, target: Path) -> Path:
        if source.suffix != ".tmp" or target.suffix != ".pth":
            return real_replace(source, target)
        if point == "before the rename":
            kill_now()
        done = real_replace(source, target)
        if point == "after the rename":
            kill_now()
        return done

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(checkpoint_digests, "write_atomic", write)
        patch.setattr(Path, "replace", replace)
        train(tmp_path)
    assert are_equal(train(tmp_path), undisturbed)
    assert not list(tmp_path.rglob("*.broken")), "nothing was taken for damage"


def test_digests_go_with_their_checkpoints(tmp_path: Path) -> None:
    train(tmp_path)
    folder = tmp_path / "checkpoints"
    names = ["last_00000003", "last_00000004", "step_00000003", "step_00000004"]
    assert sorted(path.stem for path in folder.glob("*.pth")) == names
    assert sorted(path.stem for path in (folder / "sha256").iterdir()) == names
    stated = json.loads(get_digest_path(folder / "step_00000004.pth").read_text())
    assert (stated["run_id"], stated["seed"]) == ("aaaa", 0)
    assert all(find_digest_fault(path, CheckpointOwner("aaaa", 0)) is None for path in folder.glob("*.pth"))


def test_a_run_hands_its_id_to_its_checkpoints_and_its_evaluation_can_be_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("epochs=1", "schedule.warmup=0", "loggers=[]")
    folder, record, _ = run_cell(CellRequest("digits", "vit_pico", overrides=words, out=tmp_path, device="cpu"))
    owner = CheckpointOwner(record.run_id, 0)
    (best,) = folder.glob("checkpoints/best_*.pth")
    assert find_digest_fault(best, owner) is None
    assert find_digest_fault(best, CheckpointOwner("f" * 16, 0)) is not None

    def verify() -> tuple[int, dict[str, str]]:
        capsys.readouterr()
        code = main(["verify", str(folder), "--rerun-eval", "--device", "cpu", "--json"])
        found, *_ = json.loads(capsys.readouterr().out)  # the ledger follows
        return code, {check["subject"]: check["state"] for check in found["checks"]}

    code, found = verify()
    assert (code, found["top1 evaluated again"]) == (0, "holds")
    content = bytearray(best.read_bytes())
    content[len(content) // 2] ^= 1
    best.write_bytes(content)
    code, found = verify()
    assert (code, found["evaluation"]) == (1, "fails")
