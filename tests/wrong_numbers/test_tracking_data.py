"""Other frames are another tracking set, test frames in train are found, and LaSOT's ground truth is known."""

from __future__ import annotations

import json
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.cli.main import main
from engine.data import file_hashes
from engine.data.data_options import make_data_options
from engine.task import DataReport
from foundation.errors import DataError
from foundation.run_scope import open_run_scope
from tests.tracking.lasot_root import write_short_sequences, zip_categories
from tests.tracking.scoring.conftest import random_boxes, real, write_sequence
from tracking.data import label_digests
from tracking.data.boxes import has_area
from tracking.data.label_digests import LASOT_DIGESTS_FILE, SequenceLabels, format_label_digests, load_label_digests
from tracking.data.readers import lasot
from tracking.protocols import load_protocol_recipe
from tracking.scoring.sets import PUBLIC_TEST_SETS
from tracking.tasks import LASOT, MINI_LASOT, TRACKFOLDER
from tracking.training_sets import describe_training_sets, fingerprint_training_sets

__all__ = ["real"]

LASOT_SET = PUBLIC_TEST_SETS["lasot"]


def write_frame(path: Path, seed: int, side: int = 32) -> None:
    """BMP: the content can change without the size of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3)).astype(np.uint8)
    path.write_bytes(cv2.imencode(".bmp", pixels)[1].tobytes())


def write_folder_video(folder: Path, seed: int, frames: int = 4) -> None:
    for number in range(1, frames + 1):
        write_frame(folder / f"{number}.bmp", 100 * seed + number)
    (folder / "groundtruth.txt").write_text("4,4,16,16\n" * frames)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's set: two sequences to test, two to train."""
    for seed, name in enumerate(("test/cat", "test/dog", "train/bus", "train/car")):
        write_folder_video(tmp_path / "own" / name, seed)
    return tmp_path / "own"


def mirror(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes(cv2.imencode(path.suffix, cv2.imread(str(path))[:, ::-1])[1].tobytes())
    assert path.suffix != ".bmp" or path.stat().st_size == size


def blacken(path: Path) -> None:
    path.write_bytes(cv2.imencode(path.suffix, np.zeros_like(cv2.imread(str(path))))[1].tobytes())


def replace_by_other_bytes(path: Path) -> None:
    """The same size, and the same times: only the content tells."""
    state = path.stat()
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize("spoil", [mirror, blacken])
def test_other_frames_are_another_set(spoil: Callable[[Path], None], own: Path, tmp_path: Path) -> None:
    before = TRACKFOLDER.check_data(own)
    assert before.coverage == file_hashes.FULL_COVERAGE and "covers" not in " ".join(before.notes)
    copy = Path(shutil.copytree(own, tmp_path / "elsewhere", copy_function=shutil.copyfile))
    assert TRACKFOLDER.check_data(copy).fingerprint == before.fingerprint, "a copy elsewhere is the same set"
    for path in (own / "test").rglob("*.bmp"):
        spoil(path)
    assert TRACKFOLDER.check_data(own).fingerprint != before.fingerprint
    for path in (own / "test").rglob("*.bmp"):
        shutil.copyfile(copy / path.relative_to(own), path)
    assert TRACKFOLDER.check_data(own).fingerprint == before.fingerprint


def write_training_set(name: str, root: Path) -> Path:
    """A training set of two sequences (or images) in its genuine layout; returns one of its frames."""
    folder = root / name
    if name == "trackfolder":
        for seed in (1, 2):
            write_folder_video(root / "train" / f"own-{seed}", seed)
        return root / "train" / "own-1" / "3.bmp"
    if name == "coco":
        for seed, image in enumerate(("used.jpg", "unused.jpg")):
            write_frame(folder / "train2017" / image, seed)
        content = {
            "images": [{"id": 1, "file_name": "used.jpg"}, {"id": 2, "file_name": "unused.jpg"}],
            "annotations": [
                {"image_id": number, "bbox": [1, 2, side, side], "iscrowd": 0} for number, side in ((1, 60), (2, 9))
            ],
        }
        (folder / "annotations").mkdir()
        (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))
        return folder / "train2017" / "used.jpg"
    if name == "lasot":
        write_short_sequences(folder, 2)
        (listed, *_) = (folder / "training_set.txt").read_text().split()
        return folder / listed.rpartition("-")[0] / listed / "img" / "00000003.jpg"
    for number in (1, 2):
        if name == "got10k":
            place = folder / "train" / f"a{number}"
            frames = [place / f"{frame:08d}.jpg" for frame in (1, 2, 3)]
            annotation = place / "groundtruth.txt"
        else:
            frames = [folder / "TRAIN_0" / "frames" / f"a{number}" / f"{frame}.jpg" for frame in (0, 1, 2)]
            annotation = folder / "TRAIN_0" / "anno" / f"a{number}.txt"
        for frame, path in enumerate(frames):
            write_frame(path, 10 * number + frame)
        annotation.parent.mkdir(parents=True, exist_ok=True)
        annotation.write_text("1,2,30,40\n" * 3)
        if name == "got10k":
            (place / "absence.label").write_text("0\n" * 3)
            (place / "cover.label").write_text("8\n" * 3)
            (folder / "train" / "list.txt").write_text("a1\na2\n")
    return frames[2]


def load_recipe(name: str, *words: str):  # type: ignore[no-untyped-def]
    weights = (f"dataset_weights.{each}={int(each == name)}" for each in ("photos", "mini_lasot", name))
    return load_protocol_recipe("fast64", (*dict.fromkeys(weights), *words))


@pytest.mark.parametrize("name", ["lasot", "got10k", "trackingnet", "coco", "trackfolder"])
def test_a_training_set_is_its_frames(name: str, tmp_path: Path) -> None:
    frame, recipe = write_training_set(name, tmp_path / "data"), load_recipe(name)
    before = fingerprint_training_sets(recipe, tmp_path / "data")
    assert list(before) == [name]
    copy = Path(shutil.copytree(tmp_path / "data", tmp_path / "copy", copy_function=shutil.copyfile))
    assert fingerprint_training_sets(recipe, copy) == before
    replace_by_other_bytes(copy / frame.relative_to(tmp_path / "data"))
    assert fingerprint_training_sets(recipe, copy) != before
    assert describe_training_sets(recipe, copy)[name].coverage == file_hashes.FULL_COVERAGE
    if name == "coco":
        replace_by_other_bytes(tmp_path / "data" / "coco" / "train2017" / "unused.jpg")
        assert fingerprint_training_sets(recipe, tmp_path / "data") == before, "no pair comes from this image"


def test_a_missing_training_frame_is_named_unless_such_frames_are_skipped(tmp_path: Path) -> None:
    frame = write_training_set("got10k", tmp_path)
    whole = fingerprint_training_sets(load_recipe("got10k", "skip_unreadable=true"), tmp_path)
    assert whole == fingerprint_training_sets(load_recipe("got10k"), tmp_path)
    frame.unlink()
    with pytest.raises(DataError, match=r"00000003\.jpg is missing"):
        fingerprint_training_sets(load_recipe("got10k"), tmp_path)
    assert fingerprint_training_sets(load_recipe("got10k", "skip_unreadable=true"), tmp_path) != whole


@pytest.mark.parametrize("limit", [10**9, 1000], ids=["small", "large"])
def test_zips_folders_and_both_have_one_fingerprint(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a set of which only a sample is read: the sample is the same."""
    monkeypatch.setattr(file_hashes, "FULL_HASH_LIMIT", limit)
    monkeypatch.setattr(file_hashes, "SAMPLE_SIZE", 5)
    plain = write_short_sequences(tmp_path / "lasot", 4)
    zipped = zip_categories(plain, tmp_path / "zipped")
    mixed = zip_categories(plain, tmp_path / "mixed")
    category = min(path.name for path in plain.iterdir() if path.is_dir())
    shutil.copytree(plain / category, mixed / category)
    reports = [LASOT.check_data(root) for root in (plain, zipped, mixed)]
    assert len({report.fingerprint for report in reports}) == 1
    assert {report.coverage for report in reports} == {
        file_hashes.FULL_COVERAGE
        if limit == 10**9
        else "the sizes of all files and the bytes of 5 of 32 (--hash-all reads all)"
    }
    with open_run_scope(hashes_all=True):
        whole = [LASOT.check_data(root) for root in (plain, zipped, mixed)]
    assert {report.coverage for report in whole} == {file_hashes.FULL_COVERAGE}
    assert len({report.fingerprint for report in whole}) == 1
    blacken(plain / category / sorted(path.name for path in (plain / category).iterdir())[0] / "img" / "00000001.jpg")
    assert LASOT.check_data(plain).fingerprint != reports[0].fingerprint


def test_a_run_reads_a_list_once_and_the_next_one_reads_it_again(own: Path) -> None:
    with open_run_scope():
        report = TRACKFOLDER.check_data(own)
        assert TRACKFOLDER.read_test_videos(own) is TRACKFOLDER.read_test_videos(own)
    mirror(own / "test" / "cat" / "1.bmp")
    with open_run_scope(trusts_caches=False):
        assert TRACKFOLDER.check_data(own).fingerprint != report.fingerprint


def test_the_miniature_keeps_its_fingerprint() -> None:
    """It is in committed records."""
    from tracking.data.mini_lasot import ensure_mini_lasot
    from tracking.training_sets import fingerprint_folder

    report = MINI_LASOT.check_data(Path("nowhere"))
    assert (report.fingerprint, report.coverage) == (
        fingerprint_folder(ensure_mini_lasot()),
        file_hashes.FULL_COVERAGE,
    )


def link_test_to_train(own: Path) -> None:
    shutil.rmtree(own / "test")
    (own / "test").symlink_to("train")


def copy_under_another_name(own: Path) -> None:
    for number in range(1, 5):
        shutil.copyfile(own / "train" / "bus" / f"{number}.bmp", own / "test" / "cat" / f"{number}.bmp")


def cut_a_piece(own: Path) -> None:
    shutil.copyfile(own / "train" / "bus" / "2.bmp", own / "test" / "cat" / "4.bmp")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (link_test_to_train, "2 test sequences have frames of training sequences: bus (4 of 4 frames, as in bus), car"),
        (copy_under_another_name, "1 test sequence has frames of training sequences: cat (4 of 4 frames, as in bus)"),
        (cut_a_piece, "cat (1 of 4 frames, as in bus)"),
    ],
)
def test_test_frames_in_train_are_named(spoil: Callable[[Path], None], says: str, own: Path) -> None:
    assert TRACKFOLDER.check_data(own).duplicates == ()
    spoil(own)
    (sentence,) = TRACKFOLDER.check_data(own).duplicates
    assert says in sentence


def test_training_sequences_are_not_tested_where_there_is_no_folder_test(own: Path) -> None:
    """Equal frames would tell it only where every byte was hashed."""
    shutil.move(own / "test", own / "val")
    with pytest.raises(DataError, match=r"folder train and no folder test, .* put what is tested into .*test, .*train"):
        TRACKFOLDER.check_data(own)
    with open_run_scope(data_options=make_data_options({"exclude": ["train"]})):
        assert [video.name for video in TRACKFOLDER.read_test_videos(own)] == ["val_cat", "val_dog"]


def test_test_frames_in_train_refuse_the_run(own: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    copy_under_another_name(own)
    words = ("run", "trackfolder", "--backbone", "vit_pico", "--data-root", str(own), "--out", str(tmp_path / "out"))
    assert main([*words]) == 2
    said = capfd.readouterr().err
    assert "cat (4 of 4 frames, as in bus)" in said and "--allow-duplicates" in said
    assert not (tmp_path / "out").exists()


def test_frames_that_repeat_within_a_split_are_fine(own: Path) -> None:
    for split, name in (("test", "cat"), ("train", "bus")):
        shutil.copyfile(own / split / name / "1.bmp", own / split / name / "2.bmp")
    shutil.copytree(own / "test" / "cat", own / "test" / "cat again")
    assert TRACKFOLDER.check_data(own).duplicates == ()


def test_a_train_folder_without_sequences_is_refused_or_left_out(own: Path) -> None:
    """As in a root that also holds images to classify; no file is left out without a word."""
    before = TRACKFOLDER.check_data(own).fingerprint
    shutil.rmtree(own / "train")
    for path in (own / "test" / "cat").glob("*.bmp"):
        (own / "train" / "cats").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, own / "train" / "cats" / path.name)
    with pytest.raises(DataError, match=r"no sequence at or below .*train: .*--exclude train"):
        TRACKFOLDER.check_data(own)
    with open_run_scope(data_options=make_data_options({"exclude": ["train"]})):
        report = TRACKFOLDER.check_data(own)
    assert (report.duplicates, report.fingerprint) == ((), before)


def test_sequences_are_not_compared_by_their_sizes(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a set of which a sample was hashed, most digests are sizes, and all frames of a camera have one."""
    monkeypatch.setattr(file_hashes, "FULL_HASH_LIMIT", 1000)
    monkeypatch.setattr(file_hashes, "SAMPLE_SIZE", 1)
    assert TRACKFOLDER.check_data(own).duplicates == ()


def test_a_sequence_in_both_lists_of_lasot_is_refused(tmp_path: Path) -> None:
    root = write_short_sequences(tmp_path / "lasot", 2)
    assert len(lasot.read_train_videos(root)) == 2
    name = (root / "testing_set.txt").read_text().split()[0]
    (root / "training_set.txt").write_text((root / "training_set.txt").read_text() + name + "\n")
    with pytest.raises(DataError, match=rf"sequence {name} is in training_set\.txt and in testing_set\.txt"):
        lasot.read_train_videos(root)


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Eight sequences in LaSOT's layout, whose ground truth takes the place of LaSOT's."""
    root = write_short_sequences(tmp_path / "known" / "lasot", 8)
    for path in root.glob("*/*/full_occlusion.txt"):
        path.write_text("0,0,0,1,1,0,0,0")
    videos = lasot.read_test_videos(root)
    labels = [SequenceLabels(video.name, video.boxes, ~video.visible) for video in videos]
    file = tmp_path / "digests.json"
    file.write_text(format_label_digests(labels))
    digests = load_label_digests(file)
    monkeypatch.setattr(label_digests, "load_label_digests", lambda: digests)
    return root


def find_departures(root: Path) -> list[str]:
    """What the task says about the ground truth; that it is not the whole set is another sentence."""
    report: DataReport = LASOT.check_data(root)
    assert report.deviations[0].startswith("8 test sequences with 64 frames")
    return list(report.deviations[1:])


def list_test_files(root: Path, name: str) -> list[Path]:
    names = (root / "testing_set.txt").read_text().split()
    return [root / each.rpartition("-")[0] / each / name for each in names]


def double_widths(path: Path) -> None:
    boxes = np.loadtxt(path, delimiter=",")
    np.savetxt(path, boxes * [1, 1, 2, 1], "%g", ",")


def test_another_ground_truth_of_lasot_is_named(known: Path) -> None:
    assert find_departures(known) == []
    for path in list_test_files(known, "groundtruth.txt")[:6]:
        double_widths(path)
    names = (known / "testing_set.txt").read_text().split()
    listed = ", ".join(f"{name} (boxes)" for name in names[:5])
    assert find_departures(known) == [f"the ground truth of 6 sequences is not the official one: {listed} and 1 more"]


def test_zeroed_absence_flags_are_named(known: Path) -> None:
    path = list_test_files(known, "full_occlusion.txt")[2]
    path.write_text("0,0,0,0,0,0,0,0")
    name = path.parent.name
    assert find_departures(known) == [f"the ground truth of 1 sequence is not the official one: {name} (absence)"]


def test_the_same_numbers_in_another_form_are_the_official_ones(known: Path) -> None:
    """Line ends, separators, decimals, and the label in either of the two files."""
    for number, path in enumerate(list_test_files(known, "groundtruth.txt")):
        lines = path.read_text().splitlines()
        separator, end = ((",", "\r\n"), ("\t", "\n"), (" ", "\r\n"), (".0,", "\n"))[number % 4]
        path.write_bytes("".join(line.replace(",", separator) + end for line in lines).encode())
        occluded, out_of_view = path.with_name("full_occlusion.txt"), path.with_name("out_of_view.txt")
        flags = occluded.read_text()
        occluded.write_text(out_of_view.read_text())
        out_of_view.write_text("\n".join(flags.split(",")) + "\n")
    assert find_departures(known) == []


def test_negative_zero_and_every_nan_are_one_number() -> None:
    plain = np.array([[0.0, 1, 2, 3], [np.nan] * 4])
    other = np.array([[-0.0, 1, 2, 3], [-np.nan] * 4])
    assert plain.tobytes() != other.tobytes()
    assert label_digests.encode_boxes(plain) == label_digests.encode_boxes(other)
    assert label_digests.encode_boxes(plain.astype(">f8")) == label_digests.encode_boxes(plain)


def test_a_sequence_under_another_name_is_not_lasot(known: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tracking.data.readers.sequence import Video

    official = {f"cat-{number}": label_digests.LabelDigest("", "") for number in range(280)}
    monkeypatch.setattr(label_digests, "load_label_digests", lambda: official)
    names = [*list(official)[1:], "mine-1"]
    counts = [685_360 - 279, *[1] * 279]
    videos = [
        Video(name, range(count), np.zeros((0, 4)), np.zeros(0, bool))
        for name, count in zip(names, counts, strict=True)
    ]
    sentences = LASOT.list_deviations(videos)
    assert sentences[0] == "1 test sequences are not in LaSOT's official list, such as mine-1"


def test_the_official_digests_are_those_of_lasots_280_sequences() -> None:
    assert sorted(load_label_digests()) == sorted(LASOT_SET.list_sequences(Path()))
    assert LASOT_SET.official_labels == LASOT_DIGESTS_FILE


def test_the_official_digests_are_made_from_the_official_ground_truth(real: Path) -> None:
    loaded = LASOT_SET.load_ground_truth(real, partial=False)
    assert loaded.deviations == ()
    labels = [
        SequenceLabels(each.name, each.boxes, each.absent | ~has_area(each.boxes)) for each in loaded.ground_truths
    ]
    assert format_label_digests(labels) == LASOT_DIGESTS_FILE.read_text()


def duplicate_member(archive: Path, ending: str, content: bytes) -> None:
    with zipfile.ZipFile(archive) as file:
        (name,) = [name for name in file.namelist() if name.endswith(ending)]
    with warnings.catch_warnings(), zipfile.ZipFile(archive, "a") as file:
        warnings.simplefilter("ignore")
        file.writestr(name, content)


def test_a_member_twice_in_a_zip_is_refused_by_task_and_score(tmp_path: Path) -> None:
    """The last one would win."""
    names = LASOT_SET.list_sequences(Path())[:2]
    for seed, name in enumerate(names):
        write_sequence(tmp_path / "plain" / "lasot", name, random_boxes(seed, 6))
        for number in range(1, 7):
            write_frame(tmp_path / "plain/lasot" / name.rpartition("-")[0] / name / f"img/{number:08d}.jpg", number)
    (tmp_path / "plain" / "lasot" / "testing_set.txt").write_text("\n".join(names))
    zipped = zip_categories(tmp_path / "plain" / "lasot", tmp_path / "zipped" / "lasot")
    assert (
        len(LASOT.read_test_videos(zipped)) == len(LASOT_SET.load_ground_truth(zipped.parent, True).ground_truths) == 2
    )
    archive = zipped / f"{names[0].rpartition('-')[0]}.zip"
    duplicate_member(archive, f"{names[0]}/groundtruth.txt", b"1,2,3,4\n" * 6)
    with pytest.raises(DataError, match=rf"holds .*{names[0]}/groundtruth\.txt twice"):
        LASOT.read_test_videos(zipped)
    with pytest.raises(DataError, match=rf"holds .*{names[0]}/groundtruth\.txt twice"):
        LASOT_SET.load_ground_truth(zipped.parent, partial=True)


def test_two_zips_may_hold_a_sequence_if_they_agree(tmp_path: Path) -> None:
    root = write_short_sequences(tmp_path / "lasot", 4)
    zipped = zip_categories(root, tmp_path / "zipped")
    expected = LASOT.check_data(zipped).fingerprint
    archive = sorted(zipped.glob("*.zip"))[0]
    shutil.copyfile(archive, zipped / "a copy.zip")
    assert LASOT.check_data(zipped).fingerprint == expected
    for path in list_test_files(root, "full_occlusion.txt"):
        path.write_text("1" + ",0" * 7)
    zip_categories(root, tmp_path / "other")
    shutil.copyfile(tmp_path / "other" / archive.name, zipped / "a copy.zip")
    with pytest.raises(DataError, match=r"a copy\.zip and .* disagree about full_occlusion\.txt of sequence"):
        LASOT.check_data(zipped)
