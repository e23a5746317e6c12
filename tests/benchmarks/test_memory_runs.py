"""A module handed over from Python through a whole run: its number, its record, its row on a board."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import litevit_bench as bench
from backbones.memory_modules.module_hash import collect_tensors, hash_state_dict
from backbones.registry import get_card
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from results.records.record import Record


def make_module(seed: int = 0, kind: type[nn.Module] | None = None) -> Any:
    """The architecture of ``vit_pico`` with its card's values, as a user has it: to be evaluated, with a classifier."""
    import backbones.architectures  # noqa: F401  # registers it with timm

    torch.manual_seed(seed)
    module = timm.create_model("vit_pico_patch8_32", num_classes=5).eval()
    nn.init.normal_(module.norm.bias)
    module.mean, module.std = get_card("vit_pico").mean, get_card("vit_pico").std
    module.name = "my_vit"
    if kind is not None:
        module.__class__ = kind
    return module


def run(module: Any, out: Path, protocol: str = "knn", **changes: Any) -> Record:
    return bench.run("digits", module, protocol=protocol, tier="smoke", device="cpu", out=out, **changes)


class Doubled(timm.models.VisionTransformer):
    """Features of another size, from the same tensors."""

    def forward_features(self, x: Tensor) -> Tensor:
        return 2 * super().forward_features(x)[:, :, torch.arange(self.embed_dim).roll(1)]


@pytest.mark.parametrize("protocol", ["knn", "linear"])
def test_the_number_is_that_of_the_same_weights_from_a_file(protocol: str, tmp_path: Path) -> None:
    module = make_module()
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    ours = run(module, tmp_path / "a", protocol)
    theirs = run("vit_pico", tmp_path / "b", protocol, checkpoint=tmp_path / "weights.pth")
    assert ours.result is not None and theirs.result is not None
    assert ours.result.metrics == theirs.result.metrics
    assert ours.result.items == theirs.result.items, "every item's confidence, to the last digit"
    assert ours.comparability == theirs.comparability and ours.run_id != theirs.run_id


def test_the_record_says_what_it_was(tmp_path: Path) -> None:
    module = make_module()
    state = copy.deepcopy(module.state_dict())
    record = run(module, tmp_path, "finetune")
    backbone = record.backbone
    assert (backbone.name, backbone.init, backbone.card["architecture"]) == ("my_vit", "memory", "memory")
    assert set(backbone.card["arguments"]) == {"structure_sha256", "code_sha256", "behavior_sha256"}
    assert backbone.parameters == sum(value.numel() for value in module.parameters()) + 5 * 33  # ten classes, not five
    assert backbone.checkpoint is not None and backbone.checkpoint.uri == "memory:my_vit"
    assert backbone.checkpoint.sha256 == hash_state_dict(collect_tensors(module))
    assert backbone.checkpoint.bytes == sum(4 * value.numel() for value in state.values())
    assert record.cost is not None and record.cost.efficiency is not None
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert not module.training and module.num_classes == 5


def test_the_board_tells_it_by_its_hash(tmp_path: Path) -> None:
    records = [run(make_module(seed), tmp_path) for seed in (0, 1)]
    (board,) = bench.table(tmp_path).table.boards
    starts = {f"memory {record.backbone.checkpoint.sha256[:12]}" for record in records if record.backbone.checkpoint}
    assert {row.start_label for row in board.rows} == starts and len(starts) == 2
    assert {row.label for row in board.rows} == {f"my_vit ({start})" for start in starts}
    ((_, checks), *_) = bench.verify(tmp_path)
    (start,) = (check for check in checks if check.subject == "start weights")
    assert start.state == "unchecked" and "memory:my_vit was a module in memory" in start.message


def test_the_same_module_is_answered_from_its_record_and_any_other_is_not(tmp_path: Path) -> None:
    def ask(module: Any) -> tuple[bool, str]:
        done = run_cell(CellRequest("digits", module, "knn", tier="smoke", device="cpu", out=tmp_path))
        return done.from_record, done.record.run_id

    first = ask(make_module())
    assert ask(make_module()) == (True, first[1])
    others = [ask(make_module(seed=1)), ask(make_module(kind=Doubled))]
    assert [again for again, _ in others] == [False, False]
    assert len({first[1], *(run_id for _, run_id in others)}) == 3


def test_what_it_lacks_is_one_sentence(tmp_path: Path) -> None:
    module = make_module()
    del module.mean
    module.pretrained_cfg = {}
    with pytest.raises(bench.UserError, match=r"^this VisionTransformer does not say its mean, input_size; give"):
        run(module, tmp_path)
    with pytest.raises(bench.UserError, match="a module brings its own weights"):
        run(make_module(), tmp_path, checkpoint="random")
    assert not list(tmp_path.iterdir()), "nothing was written"


def test_an_interrupted_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.training import CheckpointHook

    whole = run(make_module(), tmp_path / "a", "finetune")
    real = CheckpointHook.after_train_epoch

    def stop(self: Any, runner: Any) -> None:
        real(self, runner)
        raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointHook, "after_train_epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        run(make_module(), tmp_path / "b", "finetune")
    monkeypatch.undo()
    resumed = run(make_module(), tmp_path / "b", "finetune")
    assert whole.result is not None and resumed.result is not None
    assert resumed.cost is not None and resumed.cost.attempts == 2
    assert resumed.result.metrics == whole.result.metrics
