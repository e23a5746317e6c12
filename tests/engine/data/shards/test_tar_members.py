"""Members of archives are found where they are, and nothing that is missing or dangerous goes unseen."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from engine.data.shards.tar_members import list_members, read_member
from foundation.errors import DataError
from tests.engine.data.shards.make import write_tar

CONTENTS = {"a/x.jpg": b"first" * 200, "./b/y.jpg": b"", "c" * 150 + ".jpg": b"long name", "d/é.jpg": bytes(512)}


@pytest.mark.parametrize("layout", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_read_from_their_places(layout: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    contents = {name: content for name, content in CONTENTS.items() if layout != tarfile.USTAR_FORMAT or len(name) < 99}
    with tarfile.open(path, "w", format=layout) as archive:
        archive.addfile(make_member("a", tarfile.DIRTYPE))
        for name, content in contents.items():
            archive.addfile(make_member(name, size=len(content)), io.BytesIO(content))
    found = list_members(path)
    assert [member.name for member in found] == [name.removeprefix("./") for name in contents]
    assert [read_member(path, member) for member in found] == list(contents.values())


def make_member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, link
    return member


@pytest.mark.parametrize("kept", [100, 512, 700, 1024, 1535, 1536, 1600])
def test_every_cut_is_found(kept: int, tmp_path: Path) -> None:
    """In a header, in a content, and between two members, where ``tarfile`` finds nothing missing."""
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 300, "b.jpg": b"y" * 100})
    os.truncate(path, kept)
    with pytest.raises(DataError, match=r"a\.tar .*(cut off|cannot be read|can be read).*fetch it again"):
        list_members(path)


def test_a_damaged_header_is_no_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {f"{name}.jpg": b"x" * 300 for name in "abc"})
    content = bytearray(path.read_bytes())
    content[1024 + 150] ^= 255  # in the checksum of the second header
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged at byte 1,024: no further member can be read"):
        list_members(path)


def test_zeros_of_an_unfinished_download_are_no_end(tmp_path: Path) -> None:
    """A download that reserves its place first leaves zeros where members should be, more than fill up a record."""
    path = write_tar(tmp_path / "a.tar", {f"{number}.jpg": bytes([1]) * 9000 for number in range(9)})
    content = bytearray(path.read_bytes())
    content[3 * 9728 :] = bytes(len(content) - 3 * 9728)  # 512 of a header, and 9,000 in blocks of 512
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged at byte 29,184: no further member can be read"):
        list_members(path)


def test_a_second_archive_behind_the_first_is_not_left_out(tmp_path: Path) -> None:
    first = write_tar(tmp_path / "a.tar", {"a.jpg": b"x"})
    second = write_tar(tmp_path / "b.tar", {"b.jpg": b"x"})
    first.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(DataError, match="damaged at byte 1,024"):
        list_members(first)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (make_member("a.jpg", tarfile.SYMTYPE, link="/etc/passwd"), "'a.jpg' that is no plain file"),
        (make_member("a.jpg", tarfile.LNKTYPE, link="b.jpg"), "'a.jpg' that is no plain file"),
        (make_member("a.jpg", tarfile.FIFOTYPE), "'a.jpg' that is no plain file"),
        (make_member("a.jpg", tarfile.CHRTYPE), "'a.jpg' that is no plain file"),
        (make_member("/etc/a.jpg"), "outside of its folder"),
        (make_member("a/../../b.jpg"), "outside of its folder"),
        (make_member("a\\..\\b.jpg"), "outside of its folder"),
        (make_member("a.jpg", size=10**12), "of 1,000,000,000,000 bytes, and an image has at most"),
        (make_member("a.jpg", size=10**6), "cut off"),
    ],
)
def test_dangerous_members_are_refused(member: tarfile.TarInfo, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(DataError, match=message):
        list_members(path)


def test_headers_take_bounded_memory(tmp_path: Path) -> None:
    """A sparse file of a long name: the header claims 8 GB, which would be read to memory."""
    path = tmp_path / "a.tar"
    path.write_bytes(make_member("././@LongLink", tarfile.GNUTYPE_LONGNAME, 8 * 10**9).tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, 9 * 10**9)
    with pytest.raises(DataError, match="header of 8,000,000,000 bytes"):
        list_members(path)


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"<html>" * 1000)
    with pytest.raises(DataError, match="not a tar archive"):
        list_members(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="cannot be read"):
        list_members(path)


def test_an_archive_that_shrinks_is_noticed(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.jpg": b"x" * 300})
    (member,) = list_members(path)
    os.truncate(path, 600)
    with pytest.raises(DataError, match="cut off while it was read"):
        read_member(path, member)


def test_global_headers_are_no_members(tmp_path: Path) -> None:
    """As ``git archive`` writes them; what they say of all members may be said of one alone, too."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "a commit"}) as archive:
        for name in ("c/a.jpg", "c/" + "b" * 150 + ".jpg"):
            member = tarfile.TarInfo(name)
            member.size = 3
            archive.addfile(member, io.BytesIO(b"abc"))
    found = list_members(path)
    assert [member.name for member in found] == ["c/a.jpg", "c/" + "b" * 150 + ".jpg"]
    assert [read_member(path, member) for member in found] == [b"abc"] * 2
