"""What a weight file is, is told from its first and last bytes, before anything is hashed."""

import struct
from pathlib import Path

import pytest

from backbones.checkpoints.reading.file_format import read_weight_format
from backbones.weights import require_weight_file
from foundation.errors import CheckpointError


@pytest.mark.parametrize("head", [b"PK\3\4", b"\0" * 8, struct.pack("<Q", 40) + b'{"a":' + b" " * 40, b"\xff\xd8"])
def test_a_sparse_file_of_20_gb_is_refused_unread(head: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.pth"
    with path.open("wb") as file:
        file.write(head)
        file.truncate(20 * 10**9)
    monkeypatch.setattr("backbones.weights.sha256_unchanged_file", lambda _: pytest.fail("it is hashed"))
    with pytest.raises(CheckpointError, match=r"w.pth"):
        require_weight_file(path)


def test_a_header_as_long_as_the_code_of_a_brace_is_no_json(tmp_path: Path) -> None:
    # 123 bytes of header: the first byte of the file is then that of "{"
    header = b"{}" + b" " * 121
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header)
    assert read_weight_format(tmp_path / "w") == "safetensors"


def test_a_folder_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be read .Is a directory"):
        read_weight_format(tmp_path)
    with pytest.raises(CheckpointError, match=r"cannot be read .No such file"):
        read_weight_format(tmp_path / "w")
