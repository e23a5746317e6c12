"""What comes from elsewhere brings no code: cards of packs, and what a card or a record states of an architecture.

Checkpoints that need classes, CIFAR's pickles and per-item files are tested where they are read.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from backbones.card import BackboneCard
from backbones.create import create_backbone
from benchmarks.transfer.offline_pack import unpack_supplies
from foundation.errors import ArchiveError, UserError


@pytest.mark.parametrize(
    "arguments",
    [
        {"checkpoint_path": "evil.pth"},
        {"pretrained_cfg": {"url": "http://x"}},
        {"cache_dir": "/"},
        {"pretrained": True},
    ],
    ids=lambda value: next(iter(value)),
)
def test_a_card_or_a_record_does_not_say_which_files_timm_reads(arguments: dict[str, Any]) -> None:
    card = BackboneCard("x", "vit_tiny_patch16_224", "", arguments=arguments)
    with pytest.raises(UserError, match="which reads files or the network"):
        create_backbone(card, checkpoint="random")
    with pytest.raises((UserError, TypeError)):
        create_backbone("vit_nano", checkpoint="random", **arguments)


@pytest.mark.parametrize("architecture", ["hf-hub:evil/x", "local-dir:/tmp/evil"])
def test_an_architecture_is_no_place(architecture: str) -> None:
    with pytest.raises(UserError, match="is a place and no model"):
        create_backbone(BackboneCard("x", architecture, ""), checkpoint="random")


def make_pack(path: Path, card: bytes) -> Path:
    file = {"path": "cards/my_net.json", "bytes": len(card), "sha256": hashlib.sha256(card).hexdigest()}
    head = json.dumps({"kind": "offline", "version": 1, "made_by": "x", "files": [file]}).encode()
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in (("manifest.json", head), (file["path"], card)):
            member = tarfile.TarInfo(str(name))
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("card", "error", "message"),
    [
        (b'{"name": "my_net", "module": "antigravity"}', UserError, "which no installed plug-in brings"),
        (b'{"name": "my_net", "module": ["x"]}', UserError, "which no installed plug-in brings"),
        (b"[" * 100_000, ArchiveError, "is not a card"),
        (b"\xff", ArchiveError, "is not a card"),
        (b'{"name": ' + b"9" * 10_000 + b"}", ArchiveError, "is not a card"),
    ],
    ids=["module", "list", "deep", "bytes", "digits"],
)
def test_a_pack_brings_no_module(
    card: bytes, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CARDS", str(tmp_path / "cards"))
    with pytest.raises(error, match=message):
        unpack_supplies(make_pack(tmp_path / "a.tar", card), tmp_path / "data")
    assert not list((tmp_path / "cards").iterdir())


def test_a_card_without_a_module_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CARDS", str(tmp_path / "cards"))
    unpack_supplies(make_pack(tmp_path / "a.tar", b'{"name": "my_net", "module": ""}'), tmp_path / "data")
    assert [path.name for path in (tmp_path / "cards").iterdir()] == ["my_net.json"]
