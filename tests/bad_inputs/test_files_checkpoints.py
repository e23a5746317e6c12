"""Damaged weight files: what cannot be a checkpoint is refused at once, and nothing in one is believed."""

import collections
import functools
import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from backbones.create import create_backbone
from tests.bad_inputs.bad_input import BadInput, check_bad_input, name_case
from tests.bad_inputs.damage import LINK_SAYS, damage_file, write_image

RUN = ["run", "digits", "--backbone", "vit_nano", "--dry-run", "--checkpoint"]
NO_WEIGHTS = "is not a checkpoint that torch or safetensors can read"
ABSENT = "there is no checkpoint at"
DEVICE = "is not a file but a device or pipe; name a weight file"
BROKEN_ARCHIVE = "is a broken archive, perhaps cut off during the download; fetch it again"
SAYS = {
    **dict.fromkeys(("zeros", "garbage", "a picture", "escapes"), NO_WEIGHTS),
    **dict.fromkeys(("missing", "broken link", "link circle"), ABSENT),
    **dict.fromkeys(("a pipe", "a device"), DEVICE),
    "a folder": "is a folder without weights; name a weight file",
    "empty": r"is empty \(0 bytes\); fetch it again",
    "a web page": "it looks like a web page saved in its place",
    "deep": "it is a text in JSON, such as a model's configuration",
}
PTH = {**SAYS, "cut off": BROKEN_ARCHIVE, "a terabyte": BROKEN_ARCHIVE}
SAFETENSORS = {**SAYS, **dict.fromkeys(("cut off", "a terabyte"), "is a broken safetensors file: ")}


@functools.cache
def get_tensors(num_classes: int = 0) -> dict[str, torch.Tensor]:
    return dict(create_backbone("vit_nano", checkpoint="random", num_classes=num_classes).model.state_dict())


def pack_torch(content: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


@functools.cache
def pack_weights(kind: str = "pth") -> bytes:
    return pack_torch(get_tensors(10)) if kind == "pth" else save(get_tensors())


def write_pth(folder: Path) -> None:
    (folder / "w.pth").write_bytes(pack_weights())


def write_safetensors(folder: Path) -> None:
    (folder / "w.safetensors").write_bytes(pack_weights("safetensors"))


def write_images(folder: Path) -> None:
    write_pth(folder)
    write_image(folder / "a" / "a.png", (32, 32))


def write_shards(folder: Path, index: Mapping[str, str] | None = None) -> None:
    """Write an index and its two files into ``model``."""
    names = sorted(get_tensors())
    (folder / "model").mkdir()
    places = {name: f"{number % 2}.safetensors" for number, name in enumerate(names)}
    for file in ("0.safetensors", "1.safetensors"):
        part = {name: get_tensors()[name] for name in names if places[name] == file}
        (folder / "model" / file).write_bytes(save(part))
    text = json.dumps({"weight_map": places if index is None else index})
    (folder / "model" / "model.safetensors.index.json").write_text(text)


def write_index(index: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        write_shards(folder)
        text = index if isinstance(index, str) else json.dumps(index)
        (folder / "model" / "model.safetensors.index.json").write_text(text)

    return write


def make_safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a safetensors file with a header of any content, and of any stated length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def state(begin: int, end: int, shape: list[int], kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


def make_zip(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


class Harmful:
    """Asks whoever unpickles it to call a function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def change_weight(name: str, value: torch.Tensor | float | None) -> bytes:
    """Return weights of which one tensor has other values, another tensor in its place, or (``None``) none."""
    tensors = collections.OrderedDict(get_tensors())
    if value is None:
        del tensors[name]
    else:
        tensors[name] = value if isinstance(value, torch.Tensor) else torch.full_like(tensors[name], value)
    return pack_torch(tensors)


_HUGE = make_safetensors(b"{" + b" " * 40, length=2**63)
_QKV = "blocks.0.attn.qkv.weight"
_HOSTILE_NAME = "\x1b[2Jblocks.0\n.\u202ex"
# content of a weight file -> what is said
CONTENTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a header of 2^63 bytes": (lambda: _HUGE, "its header would have 9,223,372,036,854,775,808 bytes"),
    "a header of 2^64 - 1 bytes": (lambda: make_safetensors(b"{}", length=2**64 - 1), "its header would have"),
    "a deep header": (lambda: make_safetensors(b'{"a":' * 50_000), "its header is nested too deeply"),
    "a header without end": (lambda: make_safetensors(b'{"a": '), "its header cannot be read"),
    "a header that is a list": (lambda: make_safetensors(b"{" + b"]" * 9), "its header cannot be read"),
    "a header in Latin-1": (lambda: make_safetensors(b'{"\xe9": 1}'), "its header cannot be read"),
    "a name twice": (
        lambda: make_safetensors(b'{"a": %s, "a": %s}' % ((json.dumps(state(0, 4, [1])).encode(),) * 2), bytes(4)),
        "the name 'a' is there twice",
    ),
    "overlapping tensors": (
        lambda: make_safetensors({"a": state(0, 8, [2]), "b": state(4, 12, [2])}, bytes(12)), "broken safetensors"
    ),
    "a hole between tensors": (
        lambda: make_safetensors({"a": state(0, 4, [1]), "b": state(8, 12, [1])}, bytes(12)), "broken safetensors"
    ),
    "10^12 elements in 4 bytes": (lambda: make_safetensors({"a": state(0, 4, [10**12])}, bytes(4)), "broken safeten"),
    "a product above 2^64": (lambda: make_safetensors({"a": state(0, 4, [2**33, 2**33])}, bytes(4)), "broken safete"),
    "negative offsets": (lambda: make_safetensors({"a": state(-4, 0, [1])}), "broken safetensors"),
    "an unknown type": (lambda: make_safetensors({"a": state(0, 4, [1], "Q99")}, bytes(4)), "broken safetensors"),
    "a tensor beyond the end": (lambda: make_safetensors({"a": state(0, 10**15, [25 * 10**13])}), "tensors end at"),
    "offsets of text": (lambda: make_safetensors({"a": {"data_offsets": "ab"}}), "its header cannot be read"),
    "no tensors": (lambda: make_safetensors(b"{}" + b" " * 8), "holds no weights"),
    "an archive that swells": (lambda: make_zip({"a/data.pkl": bytes(10**7)}), "claims to unpack to 10000000 bytes"),
    "an archive of other things": (lambda: make_zip({"a.txt": b"a"}), "an ordinary zip archive, not a checkpoint"),
    "an archive with a path upwards": (lambda: make_zip({"../../data.pkl": b"\x80\x02}."}, 0), NO_WEIGHTS),
    "an archive with a name of escapes": (lambda: make_zip({"\x1b[2J/data.pkl": b"\x80\x02}."}, 0), NO_WEIGHTS),
    "a program in TorchScript": (lambda: make_zip({"a/data.pkl": b"", "a/constants.pkl": b""}, 0), "a TorchScript"),
    "a call of os.system": (lambda: pack_torch({"a": Harmful(eval, "1")}), "which bench refuses because it can run"),
    "a call in a plain pickle": (
        lambda: pack_torch(Harmful(eval, "1"), _use_new_zipfile_serialization=False), "bench refuses because it can run"
    ),
    "a terabyte of bytes": (lambda: pack_torch({"a": Harmful(bytearray, 10**15)}), NO_WEIGHTS),
    "a plain pickle of numbers": (lambda: b"\x80\x04K\x01.", NO_WEIGHTS),
    "a plain pickle cut off": (
        lambda: pack_torch(get_tensors(), _use_new_zipfile_serialization=False)[:500], NO_WEIGHTS
    ),
    "a list of tensors": (lambda: pack_torch([torch.zeros(2, 2)]), "holds no weights: it is a list"),
    "text in place of tensors": (lambda: pack_torch({"a\x1b[2J": "b"}), "holds no weights: its entries are"),
    "a mapping of itself": (lambda: pack_torch(_make_circle()), "holds no weights"),
    "10^12 elements by strides": (
        lambda: change_weight(_QKV, torch.zeros(1).expand(10**6, 10**6)), "claims shape .1000000, 1000000. for"
    ),
    "a sparse tensor": (lambda: change_weight(_QKV, torch.zeros(3, 3).to_sparse()), "as a sparse, quantized or empty"),
    "a tensor of another shape": (lambda: change_weight(_QKV, torch.zeros(5, 5)), _QKV),
    "a tensor of texts' type": (lambda: change_weight(_QKV, get_tensors()[_QKV].to(torch.complex64)), _QKV),
    "weights that are NaN": (lambda: change_weight(_QKV, float("nan")), f"holds NaN or infinity in {_QKV}"),
    "weights that are infinite": (lambda: change_weight(_QKV, float("inf")), f"holds NaN or infinity in {_QKV}"),
    "a missing tensor": (lambda: change_weight(_QKV, None), _QKV),
    "names with escapes": (
        lambda: pack_torch({_HOSTILE_NAME: get_tensors(), "b": get_tensors()}),
        r"--weights-key: \\u001b\[2Jblocks.0 .\\u202ex, b",
    ),
}  # fmt: skip


def _make_circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["a"] = circle
    return circle


INDEXES: dict[str, tuple[Any, str]] = {
    "an index with a path upwards": ({"weight_map": {"a": "../w.pth"}}, "may only name files in its own folder"),
    "an index with an absolute path": ({"weight_map": {"a": "/etc/passwd"}}, "may only name files in its own folder"),
    "an index with a backslash": ({"weight_map": {"a": "..\\w.pth"}}, "which is no weight file"),
    "an index with itself": ({"weight_map": {"a": "model.safetensors.index.json"}}, "which is no weight file"),
    "an index with a number": ({"weight_map": {"a": 1}}, "which is not a file name"),
    "an index with a list": ({"weight_map": ["a"]}, "lists no tensors under weight_map"),
    "an index with escapes": ({"weight_map": {_HOSTILE_NAME: "\x1b[2J/.."}}, "which is not a file name"),
    "an index with a file that is not there": ({"weight_map": {"a": "7.safetensors"}}, "1 of their 1 files are"),
    "an index with a name that nobody holds": (
        {"weight_map": {_HOSTILE_NAME: "0.safetensors"}}, "1 tensors that .* lists are in none of its files"
    ),
    "an index that is deep": ('{"weight_map":' * 50_000, "cannot be read"),
}  # fmt: skip


def write_content(file: str, make: Callable[[], bytes]) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / file).write_bytes(make())

    return write


_OTHER_VERBS = {
    "evaluate": ["evaluate", "digits", "--backbone", "vit_nano", "--checkpoint", "w.pth", "--dry-run"],
    "predict": ["predict", "a", "--backbone", "vit_nano", "--checkpoint", "w.pth", "--out", "o"],
    "pretrain": ["pretrain", "mae", "--backbone", "vit_nano", "--data", "digits", "--checkpoint", "w.pth", "--dry-run"],
    "add": ["add", "backbone", "mine", "--checkpoint", "w.pth"],
    "track": ["track", "a", "--init", "1,1,8,8", "--checkpoint", "w.pth", "--backbone", "vit_pico"],
    "analyze": ["analyze", "spectrum", "vit_nano", "--checkpoint", "w.pth", "--out", "o"],
}
_FEW = ("missing", "a folder", "empty", "garbage", "cut off", "a terabyte", "a pipe", "link circle")

CASES = [
    *damage_file("checkpoint of torch", [*RUN, "w.pth"], "w.pth", write_pth, PTH),
    *damage_file("safetensors", [*RUN, "w.safetensors"], "w.safetensors", write_safetensors, SAFETENSORS),
    *damage_file(
        "index of shards", [*RUN, "model"], "model/model.safetensors.index.json", write_shards,
        {
            **dict.fromkeys(
                ("empty", "zeros", "garbage", "cut off", "a web page", "deep", "UTF-16", "escapes"), "cannot be read"
            ),
            "a terabyte": "is larger than any index of weights",
            **dict.fromkeys(("missing", "a folder", "a pipe", "link circle"), "is a folder with 2 weight files"),
        },
    ),
    *damage_file(
        "shard", [*RUN, "model"], "model/1.safetensors", write_shards,
        {
            **{kind: SAFETENSORS[kind] for kind in ("empty", "zeros", "garbage", "cut off", "a terabyte")},
            **dict.fromkeys(
                ("missing", "a folder", "a pipe", "a device", *LINK_SAYS), "are incomplete: 1 of their 2 files are miss"
            ),
        },
    ),
    *(
        case
        for verb, words in _OTHER_VERBS.items()
        for case in damage_file(verb, words, "w.pth", write_images, {kind: PTH[kind] for kind in _FEW})
    ),
    *(
        BadInput(name, [*RUN, "w.bin"], says, write_content("w.bin", make)) for name, (make, says) in CONTENTS.items()
    ),
    *(BadInput(name, [*RUN, "model"], says, write_index(index)) for name, (index, says) in INDEXES.items()),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=name_case)
def test_damaged_checkpoints(case: BadInput, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_bad_input(case, tmp_path, capfd)
