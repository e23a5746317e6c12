"""LaSOT's zips are read as its folders are, and what is wrong with one is a sentence."""

from __future__ import annotations

import shutil
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError
from tests.fork_pool import open_fork_pool
from tests.tracking.lasot_root import write_short_sequences, zip_categories, zip_folders
from tracking.data.pair import CropSizes, SearchJitter
from tracking.data.readers import lasot
from tracking.data.readers.sequence import Video
from tracking.data.readers.zips import ZipMember, read_zip_contents
from tracking.data.video_pairs import PairAugmentation, VideoPairSampler
from tracking.training_sets import fingerprint_lasot_videos


@pytest.fixture
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight short sequences to test and eight to train, unpacked; made once."""
    folder = tmp_path_factory.getbasetemp() / "lasot_of_24_frames"
    return folder if folder.is_dir() else write_short_sequences(folder, 8, frames=24)


@pytest.fixture
def zipped(root: Path, tmp_path: Path) -> Path:
    return zip_categories(root, tmp_path / "zipped")


def same(root: Path, other_root: Path, read: Callable[[Path], list[Video]] = lasot.read_test_videos) -> bool:
    """Names, boxes, labels and every pixel; and the fingerprint says so."""
    videos, others = read(root), read(other_root)
    return fingerprint_lasot_videos(videos, root) == fingerprint_lasot_videos(others, other_root) and all(
        np.array_equal(one.read_frame(number), other.read_frame(number))
        for one, other in zip(videos, others, strict=True)
        for number in range(len(one.frames))
    )


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_of_categories_are_the_unpacked_set(root: Path, tmp_path: Path, method: int) -> None:
    zipped = zip_categories(root, tmp_path / "zipped", method)
    assert not [path for path in zipped.iterdir() if path.is_dir()]
    for read in (lasot.read_test_videos, lasot.read_train_videos):
        assert same(root, zipped, read)
    video = lasot.read_test_videos(zipped)[0]
    assert isinstance(video.frames[0], ZipMember) and video.frames[-1].name == "00000024.jpg"
    assert [file.name for file in video.frames[:2]] == ["00000001.jpg", "00000002.jpg"]
    (zipped / "training_set.txt").unlink()
    names = {video.name for video in lasot.read_train_videos(zipped)}
    assert names == {video.name for video in lasot.read_train_videos(root)}


def test_one_zip_with_everything_lists_included(root: Path, tmp_path: Path) -> None:
    zip_folders(tmp_path / "LaSOT.zip", root.parent, [root])
    assert same(root, tmp_path)
    assert same(root, tmp_path, lasot.read_train_videos)


def test_some_zipped_and_some_not(root: Path, zipped: Path) -> None:
    first = lasot.read_test_videos(root)[0]
    category = first.name.rpartition("-")[0]
    shutil.copytree(root / category, zipped / category)
    (zipped / f"{category}.zip").unlink()
    mixed = lasot.read_test_videos(zipped)
    assert same(root, zipped)
    assert {isinstance(video.frames[0], ZipMember) for video in mixed} == {True, False}


def read(root: Path, name: str) -> Video:
    return lasot.read_lasot_video(root, name, read_zip_contents(root))


def test_of_two_the_folder_counts_then_the_category_s_zip(root: Path, zipped: Path) -> None:
    name = lasot.read_test_videos(root)[0].name
    category = name.rpartition("-")[0]
    other = zipped / category / name
    shutil.copytree(root / category / name, other)
    (other / "groundtruth.txt").write_text("1,2,3,4\n" * 24)
    assert read(zipped, name).boxes[0].tolist() == [1, 2, 3, 4], "unpacked"
    zip_folders(zipped / "aaa.zip", zipped, [zipped / category])
    shutil.rmtree(zipped / category)
    with pytest.raises(DataError, match=rf"disagree about groundtruth\.txt of sequence {name}"):
        read(zipped, name)
    (zipped / f"{category}.zip").rename(zipped / "kept")
    assert read(zipped, name).boxes[0].tolist() == [1, 2, 3, 4]
    zip_folders(zipped / "aaa.zip", root, [root / category])
    (zipped / "kept").rename(zipped / f"{category}.zip")
    video = read(zipped, name)
    assert (video.boxes == read(root, name).boxes).all()
    assert isinstance(video.frames[0], ZipMember) and video.frames[0].archive.name == f"{category}.zip", "not aaa.zip"
    (zipped / f"{category}.zip").unlink()
    assert read(zipped, name).frames[0].archive.name == "aaa.zip"
    (zipped / category / name).mkdir(parents=True)  # annotation may lie there alone
    assert read(zipped, name).frames[0].archive.name == "aaa.zip"


def test_pairs_are_drawn_from_zips(root: Path, zipped: Path) -> None:
    def pair(place: Path) -> list[np.ndarray]:
        maker = VideoPairSampler(
            lasot.read_train_videos(place), CropSizes(32, 64, 2.0, 4.0), SearchJitter(2.0, 0.2), 20, PairAugmentation()
        )
        return list(maker.sample_pair(np.random.default_rng(0)))

    assert all(np.array_equal(one, other) for one, other in zip(pair(root), pair(zipped), strict=True))


def read_all(video: Video) -> int:
    return int(sum(video.read_frame(number).sum(dtype=np.int64) for number in range(len(video.frames))))


def test_processes_read_one_zip_at_once(zipped: Path) -> None:
    """Forked ones too: no handle is shared, whose position they would fight for."""
    video = lasot.read_test_videos(zipped)[0]
    expected = read_all(video)
    with open_fork_pool(3) as pool:
        assert pool.map(read_all, [video] * 30, chunksize=1) == [expected] * 30


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_frame(path: Path) -> None:
    """Change a byte in the middle of a stored frame."""
    with zipfile.ZipFile(path) as file:
        entry = next(each for each in file.infolist() if each.filename.endswith("00000004.jpg"))
    content = bytearray(path.read_bytes())
    content[entry.header_offset + 100 + entry.compress_size // 2] ^= 0xFF
    path.write_bytes(content)


def add(member: str, content: bytes = b"x") -> Callable[[Path], None]:
    def to(path: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as file:
            warnings.simplefilter("ignore")
            file.writestr(member, content)

    return to


def with_content(ending: str, content: bytes | None) -> Callable[[Path], None]:
    """Give one member another content, or none: take it out."""

    def rewrite(path: Path) -> None:
        with zipfile.ZipFile(path) as old:
            kept = {name: content if name.endswith(ending) else old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(path, "w") as new:
            for name, each in kept.items():
                if each is not None:
                    new.writestr(name, each)

    return rewrite


def encrypt(path: Path) -> None:
    """Mark every file as encrypted, in the directory."""
    content = bytearray(path.read_bytes())
    place = 0
    while (place := content.find(b"PK\1\2", place)) >= 0:
        content[place + 8] |= 1
        place += 4
    path.write_bytes(content)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut off": (half, "cannot be read as a zip (File is not a zip file); fetch it again"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read as a zip"),
    "a changed byte": (flip_frame, "/img/00000004.jpg in"),
    "a path upwards": (add("../../etc/passwd-1/groundtruth.txt"), "the unsafe path ../../etc/passwd-1"),
    "an absolute path": (add("/drift/drift-1/groundtruth.txt"), "the unsafe path /drift"),
    "a missing frame": (with_content("-1/img/00000003.jpg", None), "-1/img/00000003.jpg is missing"),
    "a missing truth": (with_content("groundtruth.txt", None), "/groundtruth.txt; fetch that zip again"),
    "the sequence twice": (add("copy/distractor/distractor-1/groundtruth.txt"), "holds sequence distractor-1 twice"),
    "encrypted": (encrypt, "is encrypted or packed in a rare way; unpack that zip in its folder"),
    "no image": (with_content("distractor-1/img/00000002.jpg", b"x"), "cannot be decoded"),
    "a file twice": (add("distractor/distractor-1/groundtruth.txt"), "distractor-1/groundtruth.txt twice"),
    "a frame twice": (add("distractor/distractor-1/img/00000002.jpg"), "/img/00000002.jpg twice, so its content"),
    "a list twice": (lambda path: [add(f"{x}/testing_set.txt")(path) for x in "ab"], "the list testing_set.txt twice"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_zip_is_one_sentence(name: str, zipped: Path) -> None:
    from tracking.tasks import LASOT

    assert LASOT.check_data(zipped, "all").splits == {"test": 8}
    spoil, words = BAD[name]
    spoil(zipped / "distractor.zip")
    with pytest.raises(DataError) as caught:
        LASOT.check_data(zipped, "all")
    said = str(caught.value)
    assert words in said and "distractor" in said and "\n" not in said


def test_a_zip_that_vanishes_is_named(zipped: Path) -> None:
    video = lasot.read_test_videos(zipped)[0]
    assert isinstance(video.frames[0], ZipMember)
    video.frames[0].archive.unlink()
    with pytest.raises(DataError, match=r"\.zip cannot be read \(No such file or directory\)"):
        video.read_frame(0)


def test_only_as_much_is_unpacked_as_the_directory_says(tmp_path: Path) -> None:
    """64 MB of zeros in 64 kB, said to be ten bytes."""
    with zipfile.ZipFile(tmp_path / "drift.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("drift/drift-1/img/00000001.jpg", bytes(64 << 20))
    member = read_zip_contents(tmp_path).sequences["drift-1"].first_frames(1)[0]
    lying = ZipMember(member.archive, member.path, member.entry._replace(size=10))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"00000001\.jpg in .*drift\.zip is damaged; fetch that zip again"):
        lying.read_bytes()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
