"""Following a target: the same from a video and a folder, what is written, and what is kept when it ends early."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from foundation.errors import BenchError, DataError
from tests.tracking.make import make_tracker_model
from tests.tracking.video.test_frame_source import picture, write_folder, write_video
from tracking.data.pair import CropSizes
from tracking.inference.backend import NumpyHeadMaps, TorchNetwork
from tracking.inference.tracker import Tracker
from tracking.video import annotate
from tracking.video.annotate import AnnotatedVideoWriter, draw_prediction, draw_targets
from tracking.video.frame_source import open_frame_source
from tracking.video.lost_target import LostTargetDetector, LowConfidenceSpan, find_low_spans
from tracking.video.target_track import TargetStart, start_tracks
from tracking.video.track_summary import make_track_summary
from tracking.video.track_video import track_targets, track_video

BOX = (20.0, 15.0, 16.0, 12.0)


class Scripted:
    """A network that says what confidence it is told to, frame after frame; ``then`` is called before each."""

    grid_size, runtime, precision = 4, "script", "fp32"

    def __init__(self, confidences: list[float], then: Any = None) -> None:
        self.confidences, self.then, self.seen = confidences, then, 0

    def encode_template(self, template: np.ndarray) -> None:
        return None

    def predict_maps(self, encoded_templates: Any, search_crops: Any) -> list[NumpyHeadMaps]:
        if self.then is not None:
            self.then(self.seen)
        score = np.full((4, 4), self.confidences[self.seen], np.float32)
        self.seen += 1
        return [NumpyHeadMaps(score, np.full((2, 4, 4), 0.25, np.float32), np.zeros((2, 4, 4), np.float32))]


def scripted(confidences: list[float], then: Any = None) -> Tracker:
    return Tracker(Scripted(confidences, then), CropSizes(32, 64, 2.0, 4.0))


def frames_in(path: Path) -> list[np.ndarray]:
    capture, found = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        found.append(read[1])
    return found


def test_a_lossless_video_and_its_frames_give_the_same_boxes(tmp_path: Path) -> None:
    places = (write_video(tmp_path / "walk.avi"), write_folder(tmp_path / "walk"))
    outs = [tmp_path / "from_video", tmp_path / "from_folder"]
    for place, out in zip(places, outs, strict=True):
        out.mkdir()
        tracker = Tracker(TorchNetwork(make_tracker_model("vit_pico", 32, 64)), CropSizes(32, 64, 2.0, 4.0))
        track_video(tracker, open_frame_source(str(place)), BOX, out)
    texts = [(out / name).read_text() for name in ("boxes.txt", "confidence.txt") for out in outs]
    assert texts[0] == texts[1] and texts[2] == texts[3]
    boxes, sure = (np.array([line.split(",") for line in text.split()], float) for text in texts[::2])
    assert boxes.shape == (12, 4) and (boxes[0] == BOX).all() and sure[0] == 1 and (sure[1:] < 1).all()
    tracker = Tracker(TorchNetwork(make_tracker_model("vit_pico", 32, 64)), CropSizes(32, 64, 2.0, 4.0))
    tracker.init(picture(0), BOX)
    assert np.abs(boxes[1:] - [tracker.update(picture(number)) for number in range(1, 12)]).max() <= 0.0005 + 1e-9
    assert [len(frames_in(out / "annotated.mp4")) for out in outs] == [12, 12]
    assert {path.name for path in outs[1].iterdir()} == {"boxes.txt", "confidence.txt", "annotated.mp4"}
    assert {path.name for path in outs[0].iterdir()} - {path.name for path in outs[1].iterdir()} == {"frame_times.txt"}
    times = (outs[0] / "frame_times.txt").read_text().split()
    assert times[:3] == ["0.0000", "0.0400", "0.0800"] and len(times) == 12


def test_low_confidence_is_said_marked_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sure = [0.9, 0.1, 0.9, 0.2, 0.1, 0.2, 0.2, 0.25, 0.2, 0.8, 0.9]
    source = open_frame_source(str(write_folder(tmp_path / "walk")))
    found = track_video(scripted(sure), source, BOX, tmp_path, lost_threshold=0.3)
    said = capsys.readouterr().err
    assert "frame 8: confidence 0.250, below 0.3 for 5 frames; the target may be lost" in said
    assert "frame 10: confidence is back at 0.800" in said and said.count("may be lost") == 1
    data = make_track_summary(found, source, {})
    assert data["confidence"]["low_spans"] == [{"first": 4, "last": 9, "lowest": 0.1}]
    assert (data["status"], data["frames"], data["confidence"]["lowest"]) == ("complete", 12, 0.1)


def test_each_target_has_its_own_threshold_and_its_own_span(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The network is called for one target after the other, frame by frame."""
    first, second = [0.2] * 8, [0.9, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9, 0.9]
    calls = [value for pair in zip(first, second, strict=True) for value in pair]
    source = open_frame_source(str(write_folder(tmp_path / "walk", 9)))
    starts = [TargetStart(BOX, "a", 0.1), TargetStart((5.0, 6.0, 20.0, 20.0), "b", 0.5)]
    found = track_targets(scripted(calls), source, starts, tmp_path)
    assert [target.confidences[1:] for target in found.targets] == [pytest.approx(first), pytest.approx(second)]
    assert [list(target.boxes[0]) for target in found.targets] == [list(BOX), [5, 6, 20, 20]]
    targets = make_track_summary(found, source, {})["targets"]
    assert [each["confidence"]["low_spans"] for each in targets] == [[], [{"first": 2, "last": 6, "lowest": 0.1}]]
    assert [each["first_box_from"] for each in targets] == ["a", "b"]
    assert "target 2, frame 6: confidence 0.100, below 0.5 for 5 frames" in capsys.readouterr().err
    assert len(frames_in(tmp_path / "annotated.mp4")) == 9 and len(found.network_seconds) == 8


def test_an_error_at_the_second_target_leaves_all_files_with_equally_many_lines(tmp_path: Path) -> None:
    source = open_frame_source(str(write_folder(tmp_path / "walk", 9)))
    # the fourth call is that of the second target in frame 2
    network = scripted([0.9, 0.9, 0.9, float("nan")])
    found = track_targets(network, source, [TargetStart(BOX), TargetStart(BOX)], tmp_path)
    assert "not finite" in str(found.failure)
    names = [f"{name}_{number}.txt" for name in ("boxes", "confidence") for number in (1, 2)]
    assert [len((tmp_path / name).read_text().split()) for name in names] == [2] * 4
    assert make_track_summary(found, source, {})["frames"] == 2


def test_spans_by_hand_and_as_they_are_watched() -> None:
    values = [1.0, 0.1, 0.1, 0.9, 0.2, 0.1, 0.05, 0.9, 0.2, 0.2, 0.3]
    assert find_low_spans(values, 0.3, patience=2, first_frame=100) == [
        LowConfidenceSpan(101, 102, 0.1),
        LowConfidenceSpan(104, 106, 0.05),
        LowConfidenceSpan(108, 109, 0.2),
    ]
    assert find_low_spans(values, 0.3, patience=3) == [LowConfidenceSpan(4, 6, 0.05)]
    assert find_low_spans(values, 0.0) == find_low_spans([], 0.5) == []
    rng = np.random.default_rng(0)
    for _ in range(20):
        values = rng.random(60).tolist()
        watch, lost = LostTargetDetector(0.6, 3), []
        for number, value in enumerate(values):
            watch.observe_frame(number, value)
            lost.append(watch.is_lost)
        spans = find_low_spans(values, 0.6, 3)
        assert lost == [any(s.first + 2 <= number <= s.last for s in spans) for number in range(60)]


def test_ctrl_c_keeps_what_was_tracked(tmp_path: Path) -> None:
    source = open_frame_source(str(write_folder(tmp_path / "walk")))
    before = signal.getsignal(signal.SIGINT)

    def interrupt(seen: int) -> None:
        if seen == 4:
            signal.raise_signal(signal.SIGINT)

    found = track_video(scripted([0.9] * 12, interrupt), source, BOX, tmp_path)
    assert signal.getsignal(signal.SIGINT) == before
    assert len((tmp_path / "boxes.txt").read_text().split()) == 6, "the frame in hand is finished"
    assert len((tmp_path / "confidence.txt").read_text().split()) == 6
    assert len(frames_in(tmp_path / "annotated.mp4")) == 6
    data = make_track_summary(found, source, {})
    assert (data["status"], data["stopped"]) == ("partial", "stopped by Ctrl-C after 6 frames")


def test_the_second_ctrl_c_ends_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    source = open_frame_source(str(write_folder(tmp_path / "walk")))

    def impatient(seen: int) -> None:
        if seen == 4:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(KeyboardInterrupt):
        track_video(scripted([0.9] * 12, impatient), source, BOX, out)
    assert not list(out.iterdir())


def test_a_bad_frame_keeps_what_was_before(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "walk")
    (folder / "shot7.png").write_bytes(b"no image")
    source = open_frame_source(str(folder))
    found = track_video(scripted([0.9] * 12), source, BOX, tmp_path)
    assert isinstance(found.failure, DataError) and "shot7.png" in str(found.failure)
    assert len(frames_in(tmp_path / "annotated.mp4")) == 6
    assert make_track_summary(found, source, {})["status"] == "partial"
    cv2.imwrite(str(folder / "shot7.png"), np.zeros((10, 10, 3), np.uint8))
    found = track_video(scripted([0.9] * 12), source, BOX, tmp_path)
    assert "frame 6 (from 0)" in str(found.failure) and "10 x 10 px" in str(found.failure)


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 5.0), (70.0, 5.0, 10.0, 10.0), (1.0, 1.0, float("nan"), 3.0)])
def test_a_first_box_that_does_not_fit_leaves_nothing(box: tuple[float, ...], tmp_path: Path) -> None:
    source = open_frame_source(str(write_folder(tmp_path / "walk")))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="the first box"):
        track_video(scripted([]), source, box, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_video_with_fewer_frames_than_it_says_is_noted(tmp_path: Path) -> None:
    from dataclasses import replace

    source = replace(open_frame_source(str(write_video(tmp_path / "walk.avi"))), expected_frames=20)
    found = track_video(scripted([0.9] * 12), source, BOX, tmp_path, write_video=False)
    data = make_track_summary(found, source, {})
    assert (
        "should have 20 frames from there on according to its header, but only 12 could be decoded" in data["notes"][0]
    )
    assert data["video"] is None and data["status"] == "complete" and json.dumps(data)


def test_motion_jpeg_where_mp4_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotate, "CODECS", (annotate.Codec("????", ".mp4"), annotate.CODECS[1]))
    source = open_frame_source(str(write_folder(tmp_path / "walk")))
    found = track_video(scripted([0.9] * 12), source, BOX, tmp_path)
    assert len(frames_in(tmp_path / "annotated.avi")) == 12 and not (tmp_path / ".annotated.part.mp4").exists()
    assert "annotated.avi (Motion JPEG)" in make_track_summary(found, source, {})["notes"][0]
    monkeypatch.setattr(annotate, "CODECS", (annotate.Codec("????", ".mp4"),))
    with pytest.raises(BenchError, match="cannot write videos"):
        AnnotatedVideoWriter(tmp_path, (64, 48), 30)


def test_a_folder_that_does_not_exist_is_made(tmp_path: Path) -> None:
    writer = AnnotatedVideoWriter(tmp_path / "new" / "folder", (64, 48), 30)
    writer.discard()
    assert (tmp_path / "new" / "folder").is_dir()


def test_a_video_that_was_not_written_whole_is_no_video_but_the_boxes_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenCV's writer says nothing when a frame does not reach the disk."""
    write = AnnotatedVideoWriter.write_frame

    def full_disk(self: AnnotatedVideoWriter, frame: np.ndarray) -> None:
        write(self, frame)
        self._writer.release()

    monkeypatch.setattr(AnnotatedVideoWriter, "write_frame", full_disk)
    source = open_frame_source(str(write_folder(tmp_path / "walk")))
    (tmp_path / "out").mkdir()
    found = track_video(scripted([0.9] * 12), source, BOX, tmp_path / "out")
    assert "could not be written completely" in str(found.failure) and found.video_path is None
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"boxes.txt", "confidence.txt"}
    assert len((tmp_path / "out" / "boxes.txt").read_text().split()) == 12
    assert make_track_summary(found, source, {})["status"] == "partial"


def test_odd_sizes_keep_all_their_pixels(tmp_path: Path) -> None:
    video = AnnotatedVideoWriter(tmp_path, (65, 47), 30)
    video.write_frame(np.full((47, 65, 3), 128, np.uint8))
    video.finalize()
    assert frames_in(tmp_path / "annotated.mp4")[0].shape == (48, 66, 3)


def test_several_targets_are_told_apart(tmp_path: Path) -> None:
    """One color each with its number; the text of a low confidence is red."""
    frame = np.full((240, 320, 3), 120, np.uint8)
    boxes = [(30.0, 60.0, 60.0, 40.0), (200.0, 60.0, 60.0, 40.0), (120.0, 160.0, 50.0, 40.0)]
    tracks = start_tracks(scripted([]), [TargetStart(box, lost_threshold=0.5) for box in boxes])
    for track, confidence in zip(tracks, (0.9, 0.2, 0.9), strict=True):
        track.boxes.append(np.array(track.start.box))
        track.confidences.append(confidence)
    picture = draw_targets(frame, 7, tracks)
    for track, color in zip(tracks, annotate.TARGET_COLORS, strict=False):
        x, y, w, h = map(int, track.start.box)
        assert (picture[y, x : x + w] == color).all() and (picture[y : y + h, x] == color).all()
    assert [bool((picture[:60, left : left + 100] == annotate.RED).all(-1).any()) for left in (20, 190)] == [
        False,
        True,
    ]
    assert len(set(annotate.TARGET_COLORS) | {annotate.RED}) == len(annotate.TARGET_COLORS) + 1
    alone = draw_targets(frame, 7, tracks[:1])
    assert (alone == draw_prediction(frame, 7, np.array(boxes[0]), 0.9, 0.5, is_lost=False)).all()


@pytest.mark.parametrize("box", [(100.0, 80.0, 60.0, 40.0), (0.0, 0.0, 20.0, 10.0), (290.0, 220.0, 30.0, 20.0)])
def test_the_box_is_drawn_where_it_is_and_the_text_is_whole(box: tuple[float, ...]) -> None:
    """Edges in the colour of the confidence; nothing of the text touches the border of the frame."""
    frame = np.full((240, 320, 3), 120, np.uint8)
    picture = draw_prediction(frame, 1234, np.array(box), 0.12, 0.3, is_lost=True)
    x, y, w, h = map(int, box)
    red = (picture == annotate.RED).all(-1)
    assert red[y, x : x + w].all() and red[y : y + h, x].all() and red[y + h - 1, x : x + w].all()
    changed = (picture != 120).any(-1)
    outside = changed.copy()
    outside[max(0, y - 3) : y + h + 3, max(0, x - 3) : x + w + 3] = False
    assert outside.any()
    plain = draw_prediction(frame, 1234, np.array(box), 0.12, 0.3, is_lost=False)
    assert (plain != picture).any() and (frame == 120).all()
    sure = draw_prediction(frame, 1, np.array(box), 0.9, 0.3, is_lost=False)
    assert (sure == annotate.confidence_color(0.9, 0.3)).all(-1)[y, x : x + w].all()
