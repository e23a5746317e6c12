"""Bad checkpoint files: each gives one sentence, in no time, and no code of theirs runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file

from backbones.checkpoints.load_weights import load_weight_file
from backbones.checkpoints.read_checkpoint import read_weights
from foundation.errors import CheckpointError
from tests.backbones.checkpoints.weights import backbone_state, make_vit, random_state

Make = Callable[[Path], "Path | None"]
BAD: dict[str, tuple[Make, str]] = {}


def bad(says: str) -> Callable[[Make], Make]:
    """A maker of a bad input, and what its sentence must say; it returns a path when it is not the one given."""

    def add(make: Make) -> Make:
        BAD[make.__name__] = (make, says)
        return make

    return add


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.sentinel}",)


class Harmless:
    """A class of the author's own, as OSTrack's settings are."""


def torch_bytes(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def with_header(header: dict[str, Any], body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


@bad("broken archive")
def truncated_zip(path: Path) -> None:
    whole = torch_bytes(random_state(make_vit()))
    path.write_bytes(whole[: len(whole) // 2])


@bad("not a checkpoint")
def truncated_old_pickle(path: Path) -> None:
    whole = torch_bytes(random_state(make_vit()), _use_new_zipfile_serialization=False)
    path.write_bytes(whole[: len(whole) // 2])


@bad("broken safetensors")
def truncated_safetensors(path: Path) -> None:
    path.write_bytes(save(random_state(make_vit()))[:-1000])


@bad("broken safetensors")
def safetensors_claiming_petabytes(path: Path) -> None:
    side = 1 << 25
    path.write_bytes(with_header({"a": {"dtype": "F32", "shape": [side, side], "data_offsets": [0, 4 * side * side]}}))


@bad("broken safetensors")
def safetensors_header_longer_than_the_file(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 60) + b'{"a": {}}')


@bad("broken safetensors")
def safetensors_overlapping(path: Path) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    path.write_bytes(with_header({"a": entry, "b": entry}, bytes(16)))


@bad("claims to unpack")
def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/data/0", bytes(50_000_000))


@bad("more elements than it holds")
def tensor_of_petabytes_in_four_bytes(path: Path) -> None:
    torch.save({"model": {"blocks.0.norm1.weight": torch.zeros(1).expand(1 << 25, 1 << 25)}}, path)


@bad("as int64")
def integers(path: Path) -> None:
    torch.save({k: (v * 100).long() for k, v in random_state(make_vit()).items()}, path)


@bad("as bool")
def booleans(path: Path) -> None:
    torch.save({k: v > 0 for k, v in random_state(make_vit()).items()}, path)


@bad("as complex64")
def complex_numbers(path: Path) -> None:
    torch.save({k: v.to(torch.complex64) for k, v in random_state(make_vit()).items()}, path)


@bad("NaN or infinity in blocks.2.norm2.bias")
def nan(path: Path) -> None:
    torch.save(random_state(make_vit()) | {"blocks.2.norm2.bias": torch.full((48,), float("nan"))}, path)


@bad("NaN or infinity in cls_token")
def infinity(path: Path) -> None:
    save_file(random_state(make_vit()) | {"cls_token": torch.full((1, 1, 48), float("inf"))}, path)


@bad("sparse")
def sparse(path: Path) -> None:
    torch.save({"blocks.0.norm1.weight": torch.eye(4).to_sparse()}, path)


@bad("its entries are epoch, optimizer")
def optimizer_only(path: Path) -> None:
    model = make_vit()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(1, 3, 64, 64)).sum().backward()
    optimizer.step()
    torch.save({"optimizer": optimizer.state_dict(), "epoch": 3}, path)


@bad("web page")
def html_page(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>Sign in to download</body></html>")


@bad("not a checkpoint")
def text(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


@bad("not a checkpoint")
def json_file(path: Path) -> None:
    path.write_text('{"model":{"weights": [1, 2, 3]}}')


@bad("which bench refuses")
def pickle_with_code(path: Path) -> None:
    path.write_bytes(pickle.dumps({"model": Evil(path.parent / "sentinel")}))


@bad("which bench refuses")
def archive_with_code(path: Path) -> None:
    torch.save({"model": random_state(make_vit()), "args": Evil(path.parent / "sentinel")}, path)


@bad("which bench refuses")
def old_pickle_with_code(path: Path) -> None:
    content = {"model": random_state(make_vit()), "args": Evil(path.parent / "sentinel")}
    torch.save(content, path, _use_new_zipfile_serialization=False)


@bad("Harmless")
def class_of_its_own(path: Path) -> None:
    torch.save({"net": random_state(make_vit()), "settings": Harmless()}, path)


@bad("which bench refuses")
def whole_model(path: Path) -> None:
    torch.save(make_vit(), path)


@bad("tar archive")
def tar(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "storages")


@bad("is a folder")
def directory(path: Path) -> None:
    path.mkdir()


@bad("is empty")
def empty(path: Path) -> None:
    path.touch()


@bad("holds no weights: it is empty")
def empty_dict(path: Path) -> None:
    torch.save({}, path)


@bad("holds no weights")
def strings(path: Path) -> None:
    torch.save({"model": {"a": "b"}, "c": "d\ne"}, path)


@bad("it is a list")
def tensors_in_a_list(path: Path) -> None:
    torch.save([torch.zeros(3), torch.zeros(4)], path)


@bad("holds no weights")
def nested_deep(path: Path) -> None:
    content: dict[str, Any] = {"w": torch.zeros(3)}
    for _ in range(200):
        content = {"more": content}
    torch.save(content, path)


@bad("0.0 % of the trunk")
def head_only(path: Path) -> None:
    torch.save({"head.weight": torch.zeros(10, 48), "head.bias": torch.zeros(10)}, path)


@bad("there is no checkpoint at")
def missing(path: Path) -> None:
    pass


@bad("cannot be read")
def forbidden(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    torch.save(random_state(make_vit()), path)
    path.chmod(0)


@bad("not a checkpoint")
def picture(path: Path) -> None:
    Image.new("RGB", (8, 8)).save(path, format="PNG")


@bad("TorchScript")
def torchscript(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(torch.nn.Linear(3, 3), torch.zeros(1, 3)), str(path))


@bad("ordinary zip")
def ordinary_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pth", b"x" * 100)


@bad("does not fit")
def other_width(path: Path) -> None:
    torch.save(random_state(make_vit(embed_dim=96)), path)


@bad("unexpected: blocks.3")
def other_depth(path: Path) -> None:
    torch.save(random_state(make_vit(depth=5)), path)


@bad("cannot be accessed")
def name_too_long(path: Path) -> Path:
    return path.with_name("w" * 300)


@bad("no checkpoint at")
def symlink_loop(path: Path) -> None:
    path.symlink_to(path)


@bad("device or pipe")
def device(path: Path) -> Path:
    return Path("/dev/zero")


@bad("device or pipe")
def pipe(path: Path) -> None:
    os.mkfifo(path)


@bad("template and search region only")
def tracker_embeddings_only(path: Path) -> None:
    state = {f"backbone.{k}": v for k, v in backbone_state(make_vit()).items() if k != "pos_embed"}
    extra = {"backbone.pos_embed_z": torch.zeros(1, 64, 48), "backbone.pos_embed_x": torch.zeros(1, 256, 48)}
    torch.save({"net": state | extra}, path)


@pytest.mark.parametrize("name", BAD)
def test_bad_input_gives_one_sentence(name: str, tmp_path: Path) -> None:
    make, says = BAD[name]
    path = make(tmp_path / "w.pth") or tmp_path / "w.pth"
    model = make_vit()
    with pytest.raises(CheckpointError) as caught:
        load_weight_file(model, read_weights(path), allow_partial=False)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message
    assert len(message) < 900
    assert str(path) in message or "cannot" in message or "checkpoint" in message
    assert not (tmp_path / "sentinel").exists(), "code in the file was run"


def test_there_are_at_least_25() -> None:
    assert len(BAD) >= 25


def test_the_sentinel_works(tmp_path: Path) -> None:
    """The trap itself: a careless load does run the code."""
    pickle.loads(pickle.dumps(Evil(tmp_path / "sentinel")))
    assert (tmp_path / "sentinel").exists()


@pytest.mark.parametrize("old", [False, True])
def test_both_of_torchs_file_formats_are_read(tmp_path: Path, old: bool) -> None:
    path = tmp_path / "w.pth"
    torch.save(random_state(make_vit()), path, _use_new_zipfile_serialization=not old)
    assert load_weight_file(make_vit(), read_weights(path), allow_partial=False).matched_fraction == 1


def test_safe_globals_do_not_stay(tmp_path: Path) -> None:
    before = torch.serialization.get_safe_globals()
    torch.save(random_state(make_vit()), tmp_path / "w.pth")
    read_weights(tmp_path / "w.pth")
    assert set(torch.serialization.get_safe_globals()) == set(before)
