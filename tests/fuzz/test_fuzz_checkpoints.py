"""The reader of weight files meets files that are changed at random, and the parts of archives too."""

import io
import os
import random
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from backbones.checkpoints.read_checkpoint import find_identity_key, read_weights
from tests.fuzz.random_files import FUZZ_SECONDS_VAR, Mutate, fuzz_reader, mutate_bytes


def make_tensors() -> OrderedDict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    names = ("cls_token", "pos_embed", "blocks.0.attn.qkv.weight", "blocks.0.norm1.weight", "head.bias")
    return OrderedDict((name, torch.rand(3, 4, generator=generator)) for name in names)


def make_content() -> dict[str, object]:
    tensors = make_tensors()
    return {"state_dict": tensors, "model_ema": dict(tensors), "epoch": 3, "args": {"lr": 0.1}, "arch": "vit"}


def pack_torch(is_zip: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(make_content(), stream, _use_new_zipfile_serialization=is_zip)
    return stream.getvalue()


def mutate_whole(content: bytes) -> Mutate:
    return lambda generator: mutate_bytes(content, generator)


def mutate_pickle(generator: random.Random) -> bytes:
    """Return an archive of torch with a changed pickle and sound checksums, which would stop any other change."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(pack_torch(True))) as archive,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as changed,
    ):
        for name in archive.namelist():
            content = archive.read(name)
            changed.writestr(name, mutate_bytes(content, generator) if name.endswith("data.pkl") else content)
    return stream.getvalue()


def mutate_header(generator: random.Random) -> bytes:
    """Return a safetensors file with a changed header of the right length."""
    content = save(dict(make_tensors()))
    length = struct.unpack("<Q", content[:8])[0]
    header = mutate_bytes(content[8 : 8 + length], generator)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


FILES: dict[str, Mutate] = {
    "archive of torch": mutate_whole(pack_torch(True)),
    "pickle of torch": mutate_whole(pack_torch(False)),
    "pickle in an archive": mutate_pickle,
    "header of safetensors": mutate_header,
}


def read(path: Path) -> None:
    weights = read_weights(path)
    for value in weights.tensors.values():
        value.clone()
    find_identity_key(path)


@pytest.mark.parametrize("name", FILES)
def test_a_few_changed_files(name: str, tmp_path: Path) -> None:
    assert fuzz_reader(read, FILES[name], tmp_path / "w.pth", max_files=60) == 60


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_many_changed_files(name: str, tmp_path: Path) -> None:
    seconds = float(os.environ.get(FUZZ_SECONDS_VAR, "60"))
    assert fuzz_reader(read, FILES[name], tmp_path / "w.pth", seconds=seconds, seed=1) > 0
