"""The frames of the public sets, found in miniature trees of the layouts in which they ship."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError
from tests.tracking.data.readers import make_sets
from tracking.as_is.test_videos import read_public_set, read_server_set
from tracking.data.readers.sequence import Video
from tracking.data.readers.test_frames import FRAME_FINDERS, OTB_FRAME_RANGES
from tracking.scoring.sets import PUBLIC_TEST_SETS
from tracking.scoring.submission import SERVER_TEST_SETS


def by_name(videos: list[Video]) -> dict[str, Video]:
    return {video.name: video for video in videos}


def names_of(video: Video) -> list[str]:
    return [path.name for path in video.frames]


def test_everything_that_can_be_scored_can_be_tracked() -> None:
    assert set(FRAME_FINDERS) | {"lasot"} == set(PUBLIC_TEST_SETS) | set(SERVER_TEST_SETS)


def test_otb100(tmp_path: Path) -> None:
    """Two targets share a video; some start late or end early; the frames are those with a box."""
    found = by_name(read_public_set("otb100", make_sets.make_otb100(tmp_path)).videos)
    assert {"Jogging.1", "Jogging.2", "Skating2.1", "Skating2.2", "Human4", "Board"} < set(found)
    assert names_of(found["Jogging.1"]) == names_of(found["Jogging.2"]) == [f"{n:04d}.jpg" for n in range(1, 6)]
    assert not np.array_equal(found["Jogging.1"].boxes, found["Jogging.2"].boxes)
    assert np.array_equal(found["Human4"].boxes, make_sets.make_boxes(3, 5)), "its first annotation is empty"
    assert names_of(found["Board"])[0] == "00001.jpg"
    for name, (first, last) in OTB_FRAME_RANGES.items():
        if name in found:
            ends = names_of(found[name])
            assert (ends[0], ends[-1], len(ends)) == (f"{first:04d}.jpg", f"{last:04d}.jpg", last - first + 1)
    assert np.array_equal(found["Crossing"].boxes, make_sets.make_boxes(1, 5)), "tabs"
    assert np.array_equal(found["Walking2"].boxes, make_sets.make_boxes(2, 5)), "spaces"
    assert found["Basketball"].read_frame(4).shape == (make_sets.HEIGHT, make_sets.WIDTH, 3)
    (tmp_path / "OTB100" / "Basketball" / "img" / "0003.jpg").unlink()
    with pytest.raises(DataError, match="sequence Basketball has 4 frames and 5 boxes"):
        read_public_set("otb100", tmp_path)
    shutil.rmtree(tmp_path / "OTB100" / "Basketball" / "img")
    with pytest.raises(DataError, match="sequence Basketball has no folder"):
        read_public_set("otb100", tmp_path)


def test_the_ranges_of_otb100_are_those_of_got10k(tmp_path: Path) -> None:
    """An implementation of others: the numbers of frames that its reader demands."""
    from got10k.datasets import OTB

    dataset = OTB(str(make_sets.make_otb100(tmp_path) / "OTB100"), 2015, download=False)
    ours = by_name(read_public_set("otb100", tmp_path).videos)
    assert set(dataset.seq_names) == set(ours)
    for name in ours:
        files, boxes = dataset[name]
        assert [Path(file).name for file in files] == names_of(ours[name])
        assert np.array_equal(boxes, ours[name].boxes)


def test_uav123(tmp_path: Path) -> None:
    """Several targets are ranges of one folder; a target that left has no box."""
    found = by_name(read_public_set("uav123", make_sets.make_uav123(tmp_path)).videos)
    ranges = make_sets.read_uav_ranges()
    assert ranges["bird1_1"]["folder_name"] == ranges["bird1_2"]["folder_name"] == "bird1"
    for name, video in found.items():
        meta = ranges[name]
        assert names_of(video)[0] == f"{meta['start_frame']:06d}.jpg"
        assert names_of(video)[-1] == f"{meta['end_frame']:06d}.jpg"
        assert video.visible.tolist()[:6] == [True, True, True, False, False, True]
    (tmp_path / "UAV123" / "data_seq" / "UAV123" / "bird1" / "001477.jpg").unlink()
    with pytest.raises(DataError, match=r"001477\.jpg of sequence bird1_2 is missing"):
        read_public_set("uav123", tmp_path)


def test_nfs_at_30_frames_per_second(tmp_path: Path) -> None:
    found = by_name(read_public_set("nfs", make_sets.make_nfs(tmp_path)).videos)
    for seed, name in enumerate(("bird", "cup")):
        assert names_of(found[name]) == [f"{number:05d}.jpg" for number in range(1, 6)], "the surplus image is left out"
        assert np.array_equal(found[name].boxes, make_sets.make_boxes(seed, 5))


def test_the_lasot_extension(tmp_path: Path) -> None:
    (first, second), deviations = read_public_set("lasot_ext", make_sets.make_lasot_ext(tmp_path))[1:]
    assert (first.name, second.name) == ("atv-1", "jianzi-10")
    assert first.visible.tolist() == [True, True, True, False, True, True]
    assert "ground truth of 148 sequences is not in" in deviations[0]
    (tmp_path / "LaSOT_extension_subset" / "atv" / "atv-1" / "img" / "00000003.jpg").unlink()
    with pytest.raises(DataError, match=r"00000003\.jpg is missing"):
        read_public_set("lasot_ext", tmp_path)


def test_got10k_val(tmp_path: Path) -> None:
    folder, videos, deviations = read_public_set("got10k_val", make_sets.make_got10k_val(tmp_path))
    assert [len(video.frames) for video in videos] == [5, 9]
    assert not videos[0].visible[-1], "cover 0"
    assert deviations == (f"{folder} has ground truth of 2 sequences, GOT-10k val has 180",)
    (folder / videos[1].name / "00000004.jpg").unlink()
    with pytest.raises(DataError, match=r"00000004\.jpg is missing"):
        read_public_set("got10k_val", tmp_path)


@pytest.mark.parametrize(
    ("name", "make", "frames", "title"),
    [
        ("got10k_test", make_sets.make_got10k_test, 4, "GOT-10k test has 180"),
        ("trackingnet", make_sets.make_trackingnet, 12, "TrackingNet test has 511"),
    ],
)
def test_one_line_of_ground_truth_is_enough(
    tmp_path: Path, name: str, make: Callable[[Path], Path], frames: int, title: str
) -> None:
    """The truth of the other frames is on a server."""
    _, videos, deviations = read_server_set(name, make(tmp_path))
    assert deviations[0].endswith(title)
    for seed, video in enumerate(videos):
        assert len(video.frames) == frames and video.visible.tolist() == [True] + [False] * (frames - 1)
        assert np.array_equal(video.boxes[0], make_sets.make_boxes(seed, 1)[0]) and np.isnan(video.boxes[1:]).all()
    if name == "trackingnet":
        assert names_of(videos[0]) == [f"{number}.jpg" for number in range(12)]
    videos[0].frames[1].unlink()  # type: ignore[union-attr]
    with pytest.raises(DataError, match="is missing; fetch sequence"):
        read_server_set(name, tmp_path)


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no TrackingNet test in"):
        read_server_set("trackingnet", tmp_path)
    with pytest.raises(DataError, match="there is no ground truth of UAV123 in"):
        read_public_set("uav123", tmp_path)


def test_litter_of_a_mac_is_no_frame(tmp_path: Path) -> None:
    """Its volumes have a file ._0001.jpg beside each 0001.jpg, also in a set that was copied from there."""
    make_sets.make_small_otb100(tmp_path)
    make_sets.make_nfs(tmp_path)
    known = {name: list(read_public_set(name, tmp_path).videos[0].frames) for name in ("otb100", "nfs")}
    for path in [*tmp_path.rglob("*.jpg"), *tmp_path.rglob("*.txt")]:
        path.with_name(f"._{path.name}").touch()
    for name, frames in known.items():
        assert list(read_public_set(name, tmp_path).videos[0].frames) == frames


def test_a_lost_frame_is_not_made_up_for_by_the_surplus_one_of_nfs(tmp_path: Path) -> None:
    make_sets.make_nfs(tmp_path, {"bird": 6, "cup": 5})
    (tmp_path / "Nfs" / "bird" / "30" / "bird" / "00003.jpg").unlink()
    with pytest.raises(DataError, match=r"no frame between .*00002\.jpg and 00004\.jpg"):
        read_public_set("nfs", tmp_path)
