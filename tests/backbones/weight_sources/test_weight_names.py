"""A checkpoint that is not a path: the sentence says what it is, and what was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from backbones.registry import get_card
from backbones.weights import locate_weights
from foundation.errors import BenchError


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [
        ("https://example.org/a.pth", "is an address; download the file first"),
        (str(Path("https://example.org/a.pth")), "checkpoint https://example.org/a.pth is an address"),
        ("hf-hub:timm/vit", "is the name of a backbone, not of a file: --backbone hf-hub:timm/vit"),
        ("mae_tiny", "mae_tiny is the name of a backbone, and --checkpoint takes a weight file"),
        ("timm/vit_tiny_patch16_224", "is the name of a backbone"),
        ("{here}/my_mae.pt", "did you mean .*my_mae.pth"),
        ("{here}/own.pth", "did you mean .*weights.owns.pth"),
        ("{here}/deit_tiny_300e.pth.tar", "it is the file of the backbone deit_tiny_12h"),
        ("{here}/qqqq.bin", "never trains from scratch"),
    ],
)
def test_what_may_have_been_meant(
    checkpoint: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "my_mae.pth").write_bytes(b"x")
    (tmp_path / "weights" / "owns.pth").write_bytes(b"x")
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(BenchError, match=message):
        locate_weights(get_card("vit_nano"), checkpoint.format(here=tmp_path))


def test_a_file_is_no_backbone() -> None:
    with pytest.raises(BenchError, match=r"takes an architecture: give it with --checkpoint runs/best.pth"):
        get_card("runs/best.pth")
