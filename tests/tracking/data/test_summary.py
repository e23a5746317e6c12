"""The summary of sequences makes boxes visible that are not about the target; absent frames are marked."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tracking.data.readers.sequence import Video
from tracking.data.summary import summarize_sequences
from tracking.tasks import TRACKFOLDER
from tracking.video.film_strip import TRUTH_COLOR

NUM_FRAMES = 9
WALK = [(4.0 + 3 * number, 10.0, 12.0, 8.0) for number in range(NUM_FRAMES)]


def make_video(root: Path, name: str, boxes: Sequence[tuple[float, ...]], absent: tuple[int, ...] = ()) -> Video:
    """A sequence of frames of 64 x 48 pixels."""
    (root / name).mkdir()
    paths = [root / name / f"{number:04d}.png" for number in range(len(boxes))]
    for number, path in enumerate(paths):
        pixels = np.random.default_rng([number, *name.encode()]).integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    visible = np.array([number not in absent for number in range(len(boxes))])
    return Video(name, paths, np.array(boxes, np.float64), visible)


def test_a_sound_sequence_has_no_finding(tmp_path: Path) -> None:
    summary = summarize_sequences({"test": [make_video(tmp_path, "walk", WALK, absent=(4,))]})
    facts = summary.splits["test"].facts
    assert summary.findings == ()
    assert facts["frames"] == "9; 9 per sequence"
    assert facts["target"] == "covers 3.12 % of the frame; absent in 1 frame of 1 sequence"


ODD: dict[str, list[tuple[float, ...]]] = {
    "boxes that reach far out of the frame": [(4.0 + 3 * n, 10, 50.0 + 3 * n, 20) for n in range(NUM_FRAMES)],
    "one box for all frames": [(4.0, 10, 12, 8)] * NUM_FRAMES,
    "boxes that jump from frame to frame": [(4.0 + 40 * (n % 2), 10, 12, 8) for n in range(NUM_FRAMES)],
    "a target that fills the frame": [(float(n % 2), 0, 62, 48) for n in range(NUM_FRAMES)],
}


@pytest.mark.parametrize("words", ODD)
def test_boxes_beside_the_target_are_seen(words: str, tmp_path: Path) -> None:
    odd = make_video(tmp_path, "odd", ODD[words])
    (finding,) = summarize_sequences({"test": [odd, make_video(tmp_path, "walk", WALK)]}).findings
    assert finding.startswith(f"test: 1 sequence has {words}") and finding.endswith(": odd")


def test_a_sequence_that_is_there_twice_is_seen(tmp_path: Path) -> None:
    video = make_video(tmp_path, "walk", WALK)
    shutil.copytree(tmp_path / "walk", tmp_path / "copy")
    copy = Video("copy", [tmp_path / "copy" / path.name for path in video.frames], video.boxes, video.visible)
    (finding,) = summarize_sequences({"test": [video, copy]}).findings
    assert finding == "test: 1 first frame has the content of an earlier one: copy/0000.png = walk/0000.png"
    second_target = Video("walk.2", video.frames, video.boxes + 1, video.visible)
    assert not summarize_sequences({"test": [video, second_target]}).findings


def test_the_sheet_shows_first_middle_and_last_frames_and_marks_absence(tmp_path: Path) -> None:
    videos = [make_video(tmp_path, f"walk{number}", WALK, absent=(4,)) for number in range(6)]
    summary = summarize_sequences({"test": videos})
    assert len(summary.samples) == 12
    assert {name.split("/")[1] for name in summary.samples} == {"0000.png", "0004.png", "0008.png"}
    first, middle, last = summary.draw_samples().pictures[:3]
    assert first.caption[1] == "box 4, 10, 12, 8; 64 x 48 px" and middle.caption[1] == "target absent, 64 x 48 px"
    assert last.caption[0].endswith("frame 9 of 9")
    for sample, has_box in ((first, True), (middle, False)):
        assert bool((np.asarray(sample.image) == TRUTH_COLOR).all(2).any()) == has_box


def test_one_sequence_fills_the_sheet_and_a_box_outside_is_said(tmp_path: Path) -> None:
    video = make_video(tmp_path, "away", [(100.0, 100, 5, 5)] * 20)
    pictures = summarize_sequences({"test": [video]}).draw_samples().pictures
    assert len(pictures) == 12 and all("NOT IN THE FRAME" in picture.caption[1] for picture in pictures)


def test_training_sequences_of_a_users_folder_are_summarized_too(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / split).mkdir()
        make_video(tmp_path / split, f"{split}walk", WALK)
        lines = "\n".join(",".join(map(str, box)) for box in WALK)
        (tmp_path / split / f"{split}walk" / "groundtruth.txt").write_text(lines)
    summary = TRACKFOLDER.summarize_data(tmp_path)
    assert list(summary.splits) == ["train", "test"]
    assert {name.split("/")[0] for name in summary.samples} == {"trainwalk", "testwalk"}


def test_the_boxes_of_a_server_are_not_called_absent(tmp_path: Path) -> None:
    video = make_video(tmp_path, "secret", [WALK[0], *[(np.nan,) * 4] * 5])
    summary = summarize_sequences({"test": [video]}, has_truth=False)
    assert summary.findings == () and "target" not in summary.splits["test"].facts
    captions = [picture.caption[1] for picture in summary.draw_samples().pictures]
    assert captions[0].startswith("box 4") and set(captions[1:]) == {"the box is on the server of the set"}
