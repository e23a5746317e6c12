"""A file of another head count is refused by every command that loads weights, and the right one is confirmed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import timm
import torch

from benchmarks.cli.main import main

FILE_HEADS, MODEL_HEADS = 8, 4  # of the file, and of vit_nano, which has the same shapes


@pytest.fixture(scope="module")
def wrong_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights with the shapes of ``vit_nano`` whose heads differ in strength, as training makes them: 8 heads."""
    return write_structured(tmp_path_factory.mktemp("weights") / "eight.pth", FILE_HEADS)


def write_structured(file: Path, heads: int) -> Path:
    torch.save(make_state(heads), file)
    return file


def make_state(heads: int) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = timm.create_model(
            "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=64, depth=4, num_heads=heads, num_classes=0
        )
    generator = torch.Generator().manual_seed(0)
    state: dict[str, torch.Tensor] = model.state_dict()
    for name, value in state.items():
        if name.endswith(("attn.qkv.weight", "attn.proj.weight")):
            strength = torch.rand(heads, generator=generator).exp().repeat_interleave(64 // heads)
            value *= strength.repeat(3)[:, None] if "qkv" in name else strength
    return state


COMMANDS = {
    "run": "run digits --protocol knn --tier smoke --backbone vit_nano --checkpoint {file} --out {out}",
    "fine-tuning": "run digits --protocol finetune --tier smoke --backbone vit_nano --checkpoint {file} --out {out}",
    "segmentation": "run mini_ade --tier smoke --backbone vit_nano --checkpoint {file} --out {out}",
    "pretrain": "pretrain mae --data digits --tier smoke --backbone vit_nano --checkpoint {file} --out {out}",
    "teacher": "pretrain mae_distill --data digits --tier smoke --backbone vit_nano --teacher vit_nano "
    "--teacher-checkpoint {file} --out {out}",
    "analyze": "analyze spectrum vit_nano --checkpoint {file} --data digits --out {out}/spectrum",
    "cka": "analyze cka vit_nano vit_pico --checkpoint-a {file} --checkpoint-b random --data digits --out {out}/cka",
    "add": "add backbone my_nano --arch vit_nano --checkpoint {file}",
}


@pytest.fixture
def own_cards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CARDS", str(tmp_path / "cards"))
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))


@pytest.mark.usefixtures("own_cards")
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_another_head_count_is_refused(
    command: str, wrong_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(command.format(file=wrong_file, out=tmp_path / "out"))) == 2
    said = capsys.readouterr().err
    assert f"has {FILE_HEADS} attention heads" in said and f"the backbone has {MODEL_HEADS}" in said
    assert not list(tmp_path.rglob("record.json")), "nothing was written"
    assert not list((tmp_path / "cards").glob("*"))


def test_a_sweep_names_the_cell(wrong_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"sweep --tasks digits --protocols knn --tier smoke --backbones vit_nano@{wrong_file} --out {tmp_path}"
    assert main(shlex.split(words)) != 0
    output = capsys.readouterr()
    assert f"has {FILE_HEADS} attention heads" in output.err + output.out


def test_the_right_count_is_not_refused(tmp_path: Path) -> None:
    import litevit_bench as bench

    right = write_structured(tmp_path / "four.pth", MODEL_HEADS)
    made = bench.create_backbone("vit_nano", checkpoint=str(right))
    assert made.load_report is not None and made.load_report.is_complete


@pytest.mark.shared_data
def test_deit_tiny_has_three_heads(deit_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"analyze spectrum {{}} --checkpoint {deit_file} --data digits --out {tmp_path}/spectrum"
    assert main(shlex.split(words.format("vit_tiny"))) == 2
    assert "has 3 attention heads by the structure of its weights" in capsys.readouterr().err
    words = f"run digits --tier smoke --backbone timm/deit_tiny_patch16_224 --checkpoint {deit_file} --out {tmp_path}"
    assert main(shlex.split(f"{words} --protocol knn --set img_size=32")) == 0
    record = next(tmp_path.rglob("record.json")).read_text()
    assert "head count 3 agrees with the structure of the weights" in record
