from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from benchmarks.transfer import archives
from benchmarks.transfer.archives import ArchivedFile, extract_archive, read_manifest, write_archive
from foundation.errors import ArchiveError, UserError

SUFFIXES = (".tar.zst", ".tar.gz", ".tar")


def make_files(folder: Path) -> list[ArchivedFile]:
    folder.mkdir(exist_ok=True)
    contents = {"digits/run/record.json": b"{}\n", "ledger/a.jsonl": b"", "digits/run/bild-ä.png": os.urandom(70_000)}
    files = []
    for number, (name, content) in enumerate(contents.items()):
        (folder / str(number)).write_bytes(content)
        files.append(ArchivedFile(name, folder / str(number)))
    return files


def unpack(path: Path, target: Path) -> None:
    extract_archive(path, "results", lambda file: target / file.path)


def make_hostile(
    path: Path, members: list[tuple[tarfile.TarInfo, bytes]], names: dict[str, bytes] | None = None, **changes: Any
) -> Path:
    """An archive with a manifest that states ``names``, and the members as given."""
    stated = [
        {"path": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in (names or {}).items()
    ]
    head = json.dumps({"kind": "results", "version": 1, "made_by": "x", "files": stated} | changes).encode()
    manifest = tarfile.TarInfo("manifest.json")
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for member, content in [(manifest, head), *members]:
            if member.type == tarfile.REGTYPE:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_packed_comes_out_and_the_bytes_are_always_the_same(suffix: str, tmp_path: Path) -> None:
    files = make_files(tmp_path / "in")
    write_archive(tmp_path / f"a{suffix}", "results", files)
    os.utime(files[0].path, (1, 1))
    files[1].path.chmod(0o600)
    write_archive(tmp_path / f"b{suffix}", "results", files[::-1])
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    unpack(tmp_path / f"a{suffix}", tmp_path / "out")
    for name, path in files:
        assert (tmp_path / "out" / name).read_bytes() == path.read_bytes()
    assert not os.access(tmp_path / "out" / files[0].name, os.X_OK)


def test_the_usual_tar_reads_it(tmp_path: Path) -> None:
    files = make_files(tmp_path / "in")
    write_archive(tmp_path / "a.tar.gz", "results", files)
    with tarfile.open(tmp_path / "a.tar.gz") as tar:
        assert tar.getnames() == ["manifest.json", *sorted(file.name for file in files)]
        assert {each.mtime for each in tar} == {0}


def test_nothing_is_overwritten_and_no_part_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = make_files(tmp_path / "in")
    (tmp_path / "a.tar").write_text("mine")
    with pytest.raises(UserError, match="exists and is not overwritten"):
        write_archive(tmp_path / "a.tar", "results", files)
    with pytest.raises(UserError, match=r"let it end in \.tar\.zst, \.tar\.gz or \.tar"):
        write_archive(tmp_path / "a.zip", "results", files)
    (tmp_path / "link").symlink_to(files[0].path)
    with pytest.raises(UserError, match="is a link or no regular file"):
        write_archive(tmp_path / "b.tar", "results", [ArchivedFile("x", tmp_path / "link")])
    with pytest.raises(UserError, match="cannot be packed"):
        write_archive(tmp_path / "b.tar", "results", [ArchivedFile("x" * 200 + "/" + "y" * 200, files[0].path)])
    monkeypatch.setattr(archives, "sha256_file", lambda path: "0" * 64)
    with pytest.raises(UserError, match="was changed while it was packed"):
        write_archive(tmp_path / "b.tar", "results", files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "in", "link"]


BAD_NAMES = ("/etc/x", "../x", "a/../../x", "a//b", "./a", ".git/hooks/x", "a\\b", "C:x", "a\nb", "a/.github/w", "")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_path_that_leads_out_is_refused_before_anything_is_written(name: str, tmp_path: Path) -> None:
    path = make_hostile(tmp_path / "bad.tar", [(member("ok"), b"1"), (member(name), b"2")], {"ok": b"1", name: b"2"})
    with pytest.raises(ArchiveError, match="do not trust this archive"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "link": (
        lambda path: make_hostile(path, [(member("a", b"2", "/etc"), b"")], {"a": b""}),
        "no plain file",
    ),
    "hard link": (
        lambda path: make_hostile(path, [(member("a", tarfile.LNKTYPE, "/etc/passwd"), b"")], {"a": b""}),
        "no plain file",
    ),
    "device": (lambda path: make_hostile(path, [(member("a", tarfile.CHRTYPE), b"")], {"a": b""}), "no plain file"),
    "pipe": (lambda path: make_hostile(path, [(member("a", tarfile.FIFOTYPE), b"")], {"a": b""}), "no plain file"),
    "sparse": (
        lambda path: make_hostile(path, [(member("a", tarfile.GNUTYPE_SPARSE), b"")], {"a": b""}),
        "no plain file",
    ),
    "long name": (lambda path: make_hostile(path, [(member("a" * 300), b"1")], {"a": b"1"}), "no plain file"),
    "not in manifest": (lambda path: make_hostile(path, [(member("b"), b"1")], {"a": b"1"}), "not in its manifest"),
    "twice": (lambda path: make_hostile(path, [(member("a"), b"1")] * 2, {"a": b"1"}), "not in its manifest"),
    "other size": (lambda path: make_hostile(path, [(member("a"), b"12")], {"a": b"1"}), "in this size"),
    "other content": (lambda path: make_hostile(path, [(member("a"), b"2")], {"a": b"1"}), "does not have the SHA-256"),
    "missing": (lambda path: make_hostile(path, [], {"a": b"1"}), "lacks 'a'"),
    "file and folder": (
        lambda path: make_hostile(path, [], {"a": b"1", "a/b": b"1"}),
        "as a file and as a folder",
    ),
    "other kind": (lambda path: make_hostile(path, [], kind="offline"), "is an archive of bench get --pack"),
    "newer": (lambda path: make_hostile(path, [], version=2), "is not valid: version"),
    "negative": (
        lambda path: make_hostile(path, [], files=[{"path": "a", "bytes": -1, "sha256": "0" * 64}]),
        "is not valid",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused(kind: str, tmp_path: Path) -> None:
    make, message = HOSTILE[kind]
    path = make(tmp_path / "bad.tar")
    with pytest.raises(ArchiveError, match=message):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_archive_is_one_sentence(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_archive(path, "results", make_files(tmp_path / "in"))
    whole = path.read_bytes()
    for size in (0, 3, 100, 600, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(ArchiveError):
            unpack(path, tmp_path / f"out{size}")
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 9]) + whole[middle + 9 :])
    with pytest.raises(ArchiveError):
        unpack(path, tmp_path / "out")
    with pytest.raises(ArchiveError, match="cannot unpack"):
        read_manifest(tmp_path / "nowhere.tar", "results")


def test_a_bomb_costs_no_memory_and_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that states a huge manifest, and a manifest that states more than the disk has."""
    huge = tarfile.TarInfo("manifest.json")
    huge.size = 8**11 - 1
    header = huge.tobuf(tarfile.USTAR_FORMAT)
    (tmp_path / "bomb.tar.zst").write_bytes(zstandard.compress(header + bytes(1 << 20)))
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(header + bytes(1 << 20)))
    for path in tmp_path.iterdir():
        with pytest.raises(ArchiveError, match="not a manifest of at most 256 MB"):
            read_manifest(path, "results")
    with pytest.raises(UserError, match=r"need 1,000,000\.00 GB in .* free some space"):
        archives.require_free_space(tmp_path / "new" / "folder", 10**15)


def test_files_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    files = make_files(tmp_path / "in")
    write_archive(tmp_path / "a.tar", "results", files)
    (tmp_path / "out" / "ledger").mkdir(parents=True)
    (tmp_path / "out" / "ledger" / "a.jsonl").symlink_to(tmp_path / "outside")
    with pytest.raises(ArchiveError, match="exists"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_what_a_killed_attempt_left_goes_although_the_archive_is_there(tmp_path: Path) -> None:
    target, leftover = tmp_path / "a.tar.gz", tmp_path / ".a.tar.gz.k3x9a_1b.tmp"
    for path in (target, leftover):
        path.write_bytes(b"")
    os.utime(leftover, (0, 0))
    with pytest.raises(UserError, match="exists and is not overwritten"):
        write_archive(target, "results", [])
    assert list(tmp_path.iterdir()) == [target]
