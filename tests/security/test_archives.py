"""Archives never lead out of their folder and never swell; tests of single members are in tests/benchmarks/transfer."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from benchmarks.transfer import archives
from benchmarks.transfer.archive_manifest import parse_manifest
from benchmarks.transfer.archives import ArchivedFile, extract_archive, read_manifest, write_archive
from benchmarks.transfer.install_union import merge_stores
from benchmarks.transfer.offline_pack import unpack_supplies
from classification.data.own_images import table_content
from foundation.errors import ArchiveError, DataError, UserError
from tracking.data.readers.zips import read_zip_contents

ZEROS = hashlib.sha256(bytes(1 << 20)).hexdigest()


def make_manifest(files: dict[str, int], sha256: str = ZEROS, kind: str = "results") -> bytes:
    stated = [{"path": name, "bytes": size, "sha256": sha256} for name, size in files.items()]
    return json.dumps({"kind": kind, "version": 1, "made_by": "x", "files": stated}).encode()


def make_tar(head: bytes, members: list[tuple[tarfile.TarInfo, bytes]] = []) -> bytes:  # noqa: B006 - not changed
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in [(tarfile.TarInfo("manifest.json"), head), *members]:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def unpack(path: Path, target: Path) -> None:
    extract_archive(path, "results", lambda file: target / file.path)


@pytest.mark.parametrize("suffix", ["tar.zst", "tar.gz"])
def test_a_small_archive_that_states_gigabytes_is_refused_before_anything_is_written(
    suffix: str, tmp_path: Path
) -> None:
    tar = make_tar(make_manifest({f"{number}": 1 << 20 for number in range(5000)}))
    packed = zstandard.compress(tar) if suffix == "tar.zst" else zlib.compress(tar, wbits=31)
    path = tmp_path / f"bomb.{suffix}"
    path.write_bytes(packed)
    assert len(packed) < 42_000
    with pytest.raises(ArchiveError, match="more than 200 times its size, as a bomb does; nothing was unpacked"):
        unpack(path, tmp_path / "out")
    with pytest.raises(ArchiveError, match="as a bomb does"):
        merge_stores([path], tmp_path / "merged")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_manifest_of_zeros_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MIN_UNPACK_BYTES", 100_000)
    path = tmp_path / "bomb.tar.zst"
    path.write_bytes(zstandard.compress(make_tar(b" " * 2_000_000 + make_manifest({}))))
    with pytest.raises(ArchiveError, match="as a bomb does"):
        read_manifest(path, "results")


def test_what_is_packed_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros are refused when they are packed, so that no archive of ours is taken for a bomb."""
    monkeypatch.setattr(archives, "MIN_UNPACK_BYTES", 100_000)
    (tmp_path / "zeros").write_bytes(bytes(1 << 20))
    files = [ArchivedFile("zeros", tmp_path / "zeros")]
    for suffix in ("tar.zst", "tar.gz"):
        with pytest.raises(UserError, match=r"let its name end in \.tar"):
            write_archive(tmp_path / f"a.{suffix}", "results", files)
    write_archive(tmp_path / "a.tar", "results", files)
    unpack(tmp_path / "a.tar", tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.tar", "out", "zeros"]


@pytest.mark.parametrize(
    "name", ["a/" * 50_000 + "x", "x" * 100_000, "a" * 200 + "/" + "b" * 200, "C:\\x", "\\\\host\\x", "a/..", "..", "/"]
)
def test_names_that_no_archive_of_ours_has(name: str) -> None:
    with pytest.raises(ArchiveError, match="do not trust this archive") as caught:
        parse_manifest(make_manifest({name: 1}), "results", "some.tar")
    assert len(str(caught.value)) < 500


def test_names_that_are_one_where_case_does_not_count(tmp_path: Path) -> None:
    """On such a disk the second file would replace the first; here its folder is made to be one."""
    content = b"1"
    digest = hashlib.sha256(content).hexdigest()
    members = [(tarfile.TarInfo(name), content) for name in ("Run/x", "run/X")]
    path = tmp_path / "case.tar"
    path.write_bytes(make_tar(make_manifest({"Run/x": 1, "run/X": 1}, digest), members))
    with pytest.raises(ArchiveError, match="exists already; where case does not count"):
        extract_archive(path, "results", lambda file: tmp_path / "out" / file.path.lower())
    unpack(path, tmp_path / "two")
    assert len(list((tmp_path / "two").rglob("*"))) == 4


def test_modes_and_owners_of_members_do_not_count(tmp_path: Path) -> None:
    content = b"#!/bin/sh\n"
    member = tarfile.TarInfo("tool")
    member.mode, member.uid, member.gid, member.mtime = 0o7777, 12345, 12345, 2**31
    path = tmp_path / "a.tar"
    path.write_bytes(make_tar(make_manifest({"tool": 10}, hashlib.sha256(content).hexdigest()), [(member, content)]))
    unpack(path, tmp_path / "out")
    found = (tmp_path / "out" / "tool").stat()
    assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111)
    assert found.st_uid == os.getuid()


def test_archives_in_archives_are_files(tmp_path: Path) -> None:
    inner = make_tar(make_manifest({"../x": 1}))
    path = tmp_path / "a.tar"
    digest = hashlib.sha256(inner).hexdigest()
    path.write_bytes(make_tar(make_manifest({"b.tar": len(inner)}, digest), [(tarfile.TarInfo("b.tar"), inner)]))
    unpack(path, tmp_path / "out")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["b.tar"]


def test_a_folder_that_is_a_link_is_not_followed_out_of_the_workshop(tmp_path: Path) -> None:
    """An archive has no links, so only what is here can lead out; files are unpacked in a folder of their own."""
    outside = tmp_path / "outside"
    outside.mkdir()
    digest = hashlib.sha256(b"1").hexdigest()
    path = tmp_path / "a.tar"
    path.write_bytes(
        make_tar(make_manifest({"data/set/x.jpg": 1}, digest, "offline"), [(tarfile.TarInfo("data/set/x.jpg"), b"1")])
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".bench-unpack").symlink_to(outside)
    with pytest.raises((UserError, FileExistsError)):
        unpack_supplies(path, tmp_path / "data")
    assert not list(outside.iterdir())


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError])
def test_an_interrupted_unpacking_leaves_nothing(
    stop: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = os.urandom(3 << 20)
    member = tarfile.TarInfo("digits/run/record.json")
    path = tmp_path / "a.tar"
    head = make_manifest({member.name: len(content)}, hashlib.sha256(content).hexdigest())
    path.write_bytes(make_tar(head, [(member, content)]))
    read, seen = archives._read_exactly, []

    def stop_soon(stream: object, size: int, origin: Path) -> bytes:
        seen.append(size)
        if seen.count(archives.CHUNK_BYTES) == 2:
            raise stop
        return read(stream, size, origin)  # type: ignore[arg-type]

    monkeypatch.setattr(archives, "_read_exactly", stop_soon)
    with pytest.raises((stop, UserError)):
        merge_stores([path], tmp_path / "merged")
    assert [each.name for each in tmp_path.iterdir()] == ["a.tar"]


def test_a_pipe_with_the_name_of_an_archive_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.tar.zst")
    with pytest.raises(ArchiveError, match="not a regular file"):
        read_manifest(tmp_path / "pipe.tar.zst", "results")


def make_zip(path: Path, patch: Callable[[bytearray], None]) -> Path:
    """A zip of LaSOT with one sequence, whose directory then says something else."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat-1/groundtruth.txt", "1,1,5,5\n" * 100)
        archive.writestr("cat-1/img/00000001.jpg", bytes(100_000))
    content = bytearray(path.read_bytes())
    patch(content)
    path.write_bytes(content)
    return path


def write_sizes(packed: int | None, size: int | None) -> Callable[[bytearray], None]:
    """Change what the directory says of its last member: sizes before and after decompression."""

    def patch(content: bytearray) -> None:
        start = content.rindex(b"PK\1\2")
        for offset, value in ((20, packed), (24, size)):
            if value is not None:
                content[start + offset : start + offset + 4] = value.to_bytes(4, "little")

    return patch


@pytest.mark.parametrize(
    ("packed", "size", "message"),
    [
        (0xFFFF0000, None, "does not fit in the zip|too large for a frame"),
        (None, 0xFFFF0000, "too large for a frame"),
        (None, 200_000, "is damaged"),
        (None, 50_000, "is damaged"),
    ],
)
def test_sizes_that_lie(packed: int | None, size: int | None, message: str, tmp_path: Path) -> None:
    make_zip(tmp_path / "cat.zip", write_sizes(packed, size))
    with pytest.raises(DataError, match=message):
        read_zip_contents(tmp_path).sequences["cat-1"].first_frames(1)[0].read_bytes()


def test_a_zip_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cat.zip")
    with pytest.raises(DataError, match="not a regular file"):
        read_zip_contents(tmp_path)


def test_a_table_that_states_a_value_a_million_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(table_content, "MAX_PARQUET_BYTES", 10_000_000)
    names = pyarrow.array(["x" * 10_000] * 20_000).dictionary_encode()
    parquet.write_table(pyarrow.table({"file": names, "label": names}), tmp_path / "labels.parquet")
    assert (tmp_path / "labels.parquet").stat().st_size < 20_000
    with pytest.raises(DataError, match="unpacks to more than"):
        table_content.read_label_file(tmp_path / "labels.parquet")
    os.mkfifo(tmp_path / "pipe.parquet")
    with pytest.raises(DataError, match="not a regular file"):
        table_content.read_label_file(tmp_path / "pipe.parquet")
