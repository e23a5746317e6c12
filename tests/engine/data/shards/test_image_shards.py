"""A set in archives is the set in folders: names, order, classes, fingerprint, pixels; and what is wrong is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.data import file_hashes
from engine.data.file_hashes import hash_files, require_unchanged_files
from engine.data.shards import image_shards
from engine.data.shards.image_shards import ImageShards, has_shards
from foundation.errors import ArchiveError, DataError
from foundation.run_scope import open_run_scope
from tests.engine.data.shards.make import make_jpeg, write_folder, write_tar

FIRST, SECOND = "n01440764", "n01443537"
FILES = {f"{name}/{name}_{number}.JPEG": make_jpeg(number) for name in (FIRST, SECOND) for number in (2, 10, 1)}


def write_shards(root: Path, kind: str) -> None:
    """The files in archives of several images (in an order that is not theirs), or one archive per class."""
    if kind == "shards":
        names = list(FILES)
        write_tar(root / "train-000000.tar", {name: FILES[name] for name in reversed(names[1::2])})
        write_tar(root / "train-000001.tar", {f"./{name}": FILES[name] for name in names[::2]})
    else:
        for home in (FIRST, SECOND):
            write_tar(root / f"{home}.tar", {Path(name).name: FILES[name] for name in FILES if name.startswith(home)})


@pytest.mark.parametrize("kind", ["shards", "class archives"])
def test_archives_are_the_folder(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path / "folder", FILES)
    write_shards(tmp_path / "archives", kind)
    found = ImageShards(tmp_path / "archives")
    assert found.names == sorted(FILES)
    assert found.classes == [FIRST] * 3 + [SECOND] * 3
    assert [found.read_image(index) for index in range(6)] == [FILES[name] for name in found.names]
    assert found.hash_contents() == hash_files(tmp_path / "folder", found.names)
    # and as a very large set, of which sizes and a sample stand for the content
    monkeypatch.setattr(file_hashes, "FULL_HASH_LIMIT", 10)
    monkeypatch.setattr(file_hashes, "SAMPLE_SIZE", 2)
    sampled = found.hash_contents()
    assert sampled == hash_files(tmp_path / "folder", found.names)
    assert sum(digest.startswith("size:") for digest in sampled.digests) == 4
    part = found.select_images([4, 1])
    assert [part.read_image(index) for index in (0, 1)] == [FILES[found.names[index]] for index in (4, 1)]


def test_class_numbers_beside_the_images(tmp_path: Path) -> None:
    members = {"x_2.jpg": make_jpeg(2), "x_2.cls": b"7\n", "x_2.json": b"{}", "x_1.cls": b"3", "x_1.jpg": make_jpeg(1)}
    write_tar(tmp_path / "val" / "a.tar", members)
    found = ImageShards(tmp_path, "val")
    assert (found.names, found.classes) == (["val/x_1.jpg", "val/x_2.jpg"], [3, 7])
    assert found.describe_image(1) == f"{tmp_path}/val/a.tar: val/x_2.jpg"


def test_only_changed_archives_are_listed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_shards, "SETTLED_SECONDS", -1)
    write_shards(tmp_path, "shards")
    write_tar(tmp_path / "z.tar", {"z.jpg": make_jpeg(0), "z.cls": b"5"})
    (tmp_path / "train-000000.tar").rename(tmp_path / "y")
    (tmp_path / "train-000001.tar").rename(tmp_path / "x")
    assert ImageShards(tmp_path).classes == [5]
    (tmp_path / "z.tar").rename(tmp_path / "z")
    (tmp_path / "y").rename(tmp_path / "y.tar")
    first = ImageShards(tmp_path)
    listed: list[str] = []
    original = image_shards.list_members
    monkeypatch.setattr(image_shards, "list_members", lambda path: listed.append(path.name) or original(path))
    again = ImageShards(tmp_path)
    assert (listed, again.names, again.classes) == ([], first.names, first.classes)
    assert again.read_image(0) == first.read_image(0)
    (tmp_path / "x").rename(tmp_path / "x.tar")
    write_tar(tmp_path / "y.tar", {f"{FIRST}/other.jpg": make_jpeg(9)})
    assert len(ImageShards(tmp_path)) == 4
    assert listed == ["x.tar", "y.tar"]
    listed.clear()
    (tmp_path / "z").rename(tmp_path / "w")
    with open_run_scope(trusts_caches=False):
        assert len(ImageShards(tmp_path)) == 4
    assert listed == ["x.tar", "y.tar"], "--fresh reads everything again"


def test_an_archive_that_changes_during_a_run_is_noticed(tmp_path: Path) -> None:
    write_shards(tmp_path, "class archives")
    with open_run_scope():
        ImageShards(tmp_path).hash_contents()
        require_unchanged_files()
        os.utime(tmp_path / f"{SECOND}.tar", (1, 1))
        with pytest.raises(DataError, match=f"while the run was reading them .last: {SECOND}.tar"):
            require_unchanged_files()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a.jpg": b"x"}, "'a.jpg' without a class: it is in no folder, and there is no a.cls"),
        ({"a.jpg": b"x", "a.cls": b"cat"}, "a.cls in .* does not hold the number of a class"),
        ({"a.jpg": b"x", "a.cls": b"1" * 30}, "a.cls in .* does not hold the number of a class"),
        ({"a.jpg": b"x", "a.cls": b"1", "b.cls": b"2"}, "has b.cls and no image of that name"),
        ({"c/a.jpg": b"x", "c/run.sh": b"x"}, "'c/run.sh' that is no image"),
        ({"c/a.jpg": b"x", "c/b.psd": b"x"}, "a.tar: c/b.psd is an image in a format that bench does not open"),
        ({"c/a.jpg": b"x", "./c/a.jpg": b"y"}, "two members named 'c/a.jpg'"),
        ({"a.txt": b"x"}, "hold no image"),
        ({"train/c/a.jpg": b"x"}, "does not say one class for the image 'train/c/a.jpg'"),
        ({"c/a.jpg": b"x", "c/a.cls": b"1"}, "does not say one class for the image 'c/a.jpg'"),
        ({"a.jpg": b"x", "a.cls": b"1", "a.x.cls": b"2"}, "of the name 'a' up to its first dot"),
        ({"a.1.jpg": b"x", "a.2.jpg": b"y", "a.cls": b"1"}, "of the name 'a' up to its first dot"),
        ({"c/a.jpg": b"x", "b.jpg": b"x", "b.cls": b"1"}, "class from a .cls file and .* from its folder"),
        ({f"{FIRST}.tar": b"x", f"{SECOND}.tar": b"x"}, f"an archive of 2 archives .{FIRST}.tar ....; unpack it once"),
        ({"ILSVRC2012_val_00000001.JPEG": b"x"}, "official images of val, which do not say their classes"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, bytes], message: str, tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", members)
    with pytest.raises(DataError, match=message):
        ImageShards(tmp_path)


def test_an_image_in_two_archives_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_tar(tmp_path / f"{name}.tar", {"c/x.jpg": b"x"})
    with pytest.raises(DataError, match=r"c/x.jpg is in .*a.tar and again in .*b.tar; remove one"):
        ImageShards(tmp_path)


def test_folders_and_archives_are_not_mixed(tmp_path: Path) -> None:
    assert not has_shards(tmp_path / "nowhere")
    write_shards(tmp_path, "shards")
    (tmp_path / "README").touch()
    assert has_shards(tmp_path)
    (tmp_path / FIRST).mkdir()
    with pytest.raises(DataError, match=f"2 tar archives and, beside them, {FIRST}; move the one or the other"):
        has_shards(tmp_path)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.tar.gz").touch()
    with pytest.raises(DataError, match=r"a.tar.gz is a compressed archive"):
        has_shards(tmp_path / "b")


@pytest.mark.parametrize("other", ["s2.tar.gz", "s2.TAR.crdownload", "s2.tar.part", "s2.zip", "s2.tgz"])
def test_other_archives_are_not_left_out(other: str, tmp_path: Path) -> None:
    """Beside archives as beside class folders: their images would be missing, and nobody would see it."""
    for home in ("archives", "folders"):
        (tmp_path / home / FIRST).mkdir(parents=True)
    (tmp_path / "archives" / FIRST).rmdir()
    write_tar(tmp_path / "archives" / "s.tar", {f"{FIRST}/a.jpg": b"x"})
    for home in ("archives", "folders"):
        (tmp_path / home / other).touch()
        with pytest.raises(DataError, match=f"{other} is a compressed archive, or a part of one"):
            has_shards(tmp_path / home)


@pytest.mark.parametrize("member", [f"{SECOND}/a.jpg", "a.cls"])
def test_a_class_archive_that_contradicts_itself(member: str, tmp_path: Path) -> None:
    write_tar(tmp_path / f"{FIRST}.tar", {"a.jpg": b"x", member: b"5"})
    with pytest.raises(DataError, match="does not say one class"):
        ImageShards(tmp_path)


def test_an_archive_that_took_the_place_of_another_is_named(tmp_path: Path) -> None:
    """Both have an image where the other one has it, so without the check its neighbor's class would be learned."""
    for name in ("a", "b"):
        write_tar(tmp_path / f"{name}.tar", {f"{name}/x.jpg": name.encode() * 9})
    shards = ImageShards(tmp_path)
    assert [shards.read_image(index) for index in (0, 1)] == [b"a" * 9, b"b" * 9]
    (tmp_path / "a.tar").rename(tmp_path / "c")
    (tmp_path / "b.tar").rename(tmp_path / "a.tar")
    (tmp_path / "c").rename(tmp_path / "b.tar")
    for index in (0, 1):
        with pytest.raises(ArchiveError, match="was changed or replaced after its images were listed") as caught:
            shards.read_image(index)
        assert not isinstance(caught.value, DataError), "else --skip-bad would train without the whole archive"


def test_the_end_of_an_archive_s_name_may_be_in_capitals(tmp_path: Path) -> None:
    write_tar(tmp_path / f"{FIRST}.TAR", {"a.jpg": b"x", "._a.jpg": b"litter of macOS"})
    assert ImageShards(tmp_path).classes == [FIRST]
