"""Results in another format, or under another sequence's name, and a ground truth that is not LaSOT's get no number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli.main import main
from foundation.errors import DataError
from tests.tracking.scoring.conftest import real, write_sequence
from tests.tracking.scoring.test_sets import save
from tracking.data.boxes import has_area
from tracking.data.label_digests import SequenceLabels, format_label_digests
from tracking.scoring import SequenceGroundTruth, score_tracker
from tracking.scoring.report import format_scores, scores_to_dict
from tracking.scoring.results import read_tracker_results
from tracking.scoring.sets import PUBLIC_TEST_SETS
from tracking.scoring.submission import SERVER_TEST_SETS, pack_submission

__all__ = ["real"]

Boxes = Mapping[str, np.ndarray]
LASOT = PUBLIC_TEST_SETS["lasot"]
IMAGE = np.array([640.0, 480, 640, 480])


def make_truth(number: int) -> SequenceGroundTruth:
    """A wide or a high target that wanders through an image of 640 x 480; four lengths occur in the set."""
    random = np.random.default_rng(number)
    frames = 20 + number % 4
    size = random.uniform(20, 40, 2) * ((3, 1) if number % 2 else (1, 3))
    start = random.uniform((50, 50), IMAGE[:2] - 200)
    boxes = np.hstack([start + np.cumsum(random.normal(0, 1, (frames, 2)), axis=0), np.tile(size, (frames, 1))])
    return SequenceGroundTruth(f"cat-{number}", boxes.round(1), np.zeros(frames, bool))


TRUTHS = [make_truth(number) for number in range(20)]


def follow(seed: int = 0) -> dict[str, np.ndarray]:
    """A good tracker: it starts from the given box."""
    random = np.random.default_rng(seed)
    boxes = {truth.name: truth.boxes + random.normal(0, 1, truth.boxes.shape) for truth in TRUTHS}
    for truth in TRUTHS:
        boxes[truth.name][0] = truth.boxes[0]
    return boxes


def to_corners(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])


def to_centers(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:]])


BROKEN: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "corners": (to_corners, "as corners x1,y1,x2,y2; write x,y,w,h"),
    "centers": (to_centers, "as centers cx,cy,w,h; write x,y,w,h"),
    "fractions": (lambda boxes: boxes / IMAGE, "as x,y,w,h in fractions of the image; write x,y,w,h in pixels"),
    "fractions of centers": (lambda boxes: to_centers(boxes) / IMAGE, "as centers cx,cy,w,h in fractions of the image"),
    "fractions of corners": (lambda boxes: to_corners(boxes) / IMAGE, "corners x1,y1,x2,y2 in fractions of the image"),
    "width and height": (lambda boxes: boxes[:, [0, 1, 3, 2]], "as x,y,h,w (width and height swapped)"),
    "x and y": (lambda boxes: boxes[:, [1, 0, 2, 3]], "as y,x,w,h (x and y swapped)"),
    "rows before columns": (lambda boxes: boxes[:, [1, 0, 3, 2]], "as y,x,h,w (rows before columns)"),
    "corners by rows": (lambda boxes: to_corners(boxes)[:, [1, 0, 3, 2]], "as corners y1,x1,y2,x2"),
}


def refused(boxes: Boxes, truths: list[SequenceGroundTruth] = TRUTHS) -> str:
    """The message; with ``--partial`` there is a number, which is marked and is no metric of the JSON."""
    with pytest.raises(DataError) as caught:
        score_tracker("mine", boxes, truths)
    score = score_tracker("mine", boxes, truths, partial=True)
    assert score.is_partial and len(score.sequences) == len(truths)
    data = scores_to_dict("a set", [score])["trackers"][0]
    assert data["metrics"] is None and data["partial_metrics"]["AUC"] >= 0 and data["box_faults"] == [*score.box_faults]
    text = format_scores("a set", [score])
    assert "PARTIAL, not comparable with any published number" in text and score.box_faults[0] in text
    assert "--partial" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", BROKEN)
def test_boxes_in_another_format_get_no_number(name: str) -> None:
    assert not score_tracker("mine", follow(), TRUTHS).is_partial
    convert, says = BROKEN[name]
    message = refused({key: convert(boxes) for key, boxes in follow().items()})
    assert says in message and "first box far from the ground truth (IoU < 0.5) in 20 sequences" in message


@pytest.mark.parametrize("name", BROKEN)
def test_a_first_box_as_it_was_given_does_not_hide_the_format(name: str) -> None:
    """Many trackers write the given box and then their own."""
    convert, says = BROKEN[name]
    boxes = {key: np.vstack([each[:1], convert(each[1:])]) for key, each in follow().items()}
    message = refused(boxes)
    assert "second box far from the ground truth" in message
    assert says in message or "too small for pixels, as fractions of the image are" in message


def test_formats_are_known_in_a_small_set_too() -> None:
    (truth, other, *_) = TRUTHS
    for truths in ([truth], [truth, other]):
        assert "as centers cx,cy,w,h" in refused({each.name: to_centers(each.boxes) for each in truths}, truths)


def test_results_under_other_sequences_names_are_named_in_pairs() -> None:
    boxes = follow()
    names = [f"cat-{number}" for number in (0, 4, 1, 5, 2, 6)]  # four apart: of equal length
    for one, other in zip(names[::2], names[1::2], strict=True):
        boxes[one], boxes[other] = boxes[other], boxes[one]
    message = refused(boxes)
    assert "6 of them are the first box of another sequence of equal length: cat-0 has that of cat-4" in message
    assert "cat-6 has that of cat-2" in message and "store each file under the name of its sequence" in message


def test_first_boxes_of_something_else_are_refused_without_a_cause() -> None:
    boxes = follow()
    for name in list(boxes)[:3]:
        boxes[name] = np.add(boxes[name], [300.0, -20, 5, 9])
    message = refused(boxes)
    assert "in 3 sequences: cat-0, cat-1, cat-2; check that the results belong to this set" in message


def shift_early(boxes: np.ndarray) -> np.ndarray:
    return np.vstack([boxes[1:], boxes[-1:]])


ALLOWED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "integers": np.round,
    "truncated": np.trunc,
    "counted from 1": lambda boxes: np.add(boxes, [1, 1, 0, 0]),
    "integers counted from 1": lambda boxes: np.add(np.round(boxes), [1, 1, 0, 0]),
    "one pixel off": lambda boxes: boxes + 1,
    "one frame early": shift_early,
    "one frame late": lambda boxes: np.vstack([boxes[:1], boxes[:-1]]),
    "lost after the first frame": lambda boxes: np.vstack([boxes[:1], np.zeros_like(boxes[1:])]),
    "never moves": lambda boxes: np.repeat(boxes[:1], len(boxes), axis=0),
    "jumps away": lambda boxes: np.vstack([boxes[:1], np.add(boxes[1:], [200, 90, 10, 5])]),
    "grows": lambda boxes: np.vstack([boxes[:1], boxes[1:] * [1, 1, 3, 3]]),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_trackers_really_write_gets_its_number(name: str) -> None:
    score = score_tracker("mine", {key: ALLOWED[name](boxes) for key, boxes in follow().items()}, TRUTHS)
    assert not score.is_partial and score.notes == ()


def test_a_small_target_may_be_a_pixel_off() -> None:
    """4 x 4 pixels, moved by one in both directions: an IoU of 0.39."""
    truths = [
        each._replace(boxes=np.hstack([each.boxes[:, :2], np.full((len(each.boxes), 2), 4.0)])) for each in TRUTHS
    ]
    score = score_tracker("mine", {each.name: np.add(each.boxes, [1, 1, 0, 0]) for each in truths}, truths)
    assert not score.is_partial and score.metric_values()["OP50"] < 50


def test_a_fast_target_may_be_a_frame_off() -> None:
    """It moves by more than its width from frame to frame."""
    truths = []
    for each in TRUTHS:
        steps = np.arange(len(each.boxes))[:, None] * [70.0, 40, 0, 0]
        truths.append(each._replace(boxes=each.boxes[:1] + steps))
    assert not score_tracker("mine", {each.name: shift_early(each.boxes) for each in truths}, truths).is_partial


@pytest.mark.parametrize("seed", range(3))
def test_a_tracker_that_is_as_good_as_chance_gets_its_number(seed: int) -> None:
    """From the second frame on it draws boxes at random."""
    random = np.random.default_rng(seed)
    boxes = {truth.name: random.uniform(0, 200, truth.boxes.shape) for truth in TRUTHS}
    for truth in TRUTHS:
        boxes[truth.name][0] = truth.boxes[0]
    assert not score_tracker("mine", boxes, TRUTHS).is_partial


def test_one_or_two_files_of_something_else_are_a_note() -> None:
    boxes = follow()
    boxes["cat-0"], boxes["cat-4"] = boxes["cat-4"], boxes["cat-0"]
    score = score_tracker("mine", boxes, TRUTHS)
    assert not score.is_partial
    assert "in 2 sequences: cat-0, cat-4; 2 of them are the first box of another sequence" in score.notes[0]


def test_a_wrong_repetition_is_noticed() -> None:
    good, bad = follow(1), {key: to_centers(boxes) for key, boxes in follow(2).items()}
    both = {name: [good[name], bad[name]] for name in good}
    with pytest.raises(DataError, match="as centers"):
        score_tracker("mine", both, TRUTHS)
    assert not score_tracker("mine", {name: [good[name], good[name]] for name in good}, TRUTHS).is_partial


@cache
def read_real(real: Path, tracker: str) -> tuple[list[SequenceGroundTruth], dict[str, np.ndarray]]:
    truths = LASOT.load_ground_truth(real, partial=False).ground_truths
    found = read_tracker_results(real / tracker, truths, LASOT.truncated_sequences, has_repetitions=False).boxes
    return truths, {name: runs[0] for name, runs in found.items()}


@pytest.mark.parametrize(("tracker", "auc"), [("ATOM", 51.434), ("SiamRPNpp", 49.559)])
def test_real_trackers_keep_their_numbers(real: Path, tracker: str, auc: float) -> None:
    truths, boxes = read_real(real, tracker)
    score = score_tracker(tracker, boxes, truths)
    assert not score.is_partial and score.notes == ()
    assert score.metric_values()["AUC"] == pytest.approx(auc, abs=0.0005)
    for convert in (np.round, ALLOWED["integers counted from 1"], shift_early):
        assert not score_tracker(tracker, {name: convert(each) for name, each in boxes.items()}, truths).is_partial


@pytest.mark.parametrize("name", BROKEN)
def test_real_results_in_another_format_get_no_number(real: Path, name: str) -> None:
    truths, boxes = read_real(real, "ATOM")
    convert, says = BROKEN[name]
    with pytest.raises(DataError) as caught:
        score_tracker("ATOM", {key: np.maximum(convert(each), 0) for key, each in boxes.items()}, truths)
    assert says in str(caught.value)


def test_14_real_sequences_of_equal_length_are_named(real: Path) -> None:
    truths, boxes = read_real(real, "ATOM")
    by_length: dict[int, list[str]] = {}
    for truth in truths:
        by_length.setdefault(len(truth.boxes), []).append(truth.name)
    pairs = [names[:2] for names in by_length.values() if len(names) > 1][:7]
    swapped = dict(boxes)
    for one, other in pairs:
        swapped[one], swapped[other] = boxes[other], boxes[one]
    with pytest.raises(DataError) as caught:
        score_tracker("ATOM", swapped, truths)
    message = str(caught.value)
    assert "14 of them are the first box of another sequence of equal length" in message
    assert all(
        f"{one} has that of {other}" in message and f"{other} has that of {one}" in message for one, other in pairs
    )


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root whose sequences take the place of LaSOT's, and a tracker in it."""
    for truth in TRUTHS:
        write_sequence(tmp_path / "lasot", truth.name, truth.boxes, np.arange(len(truth.boxes)) == 7)
        save(tmp_path / "mine" / f"{truth.name}.txt", follow()[truth.name])
    made = replace(
        LASOT,
        expected_sequences=len(TRUTHS),
        list_sequences=lambda folder: tuple(truth.name for truth in TRUTHS),
        expected_frames=sum(len(truth.boxes) for truth in TRUTHS),
        official_labels=None,
    )
    truths = made.load_ground_truth(tmp_path, partial=False).ground_truths
    labels = [SequenceLabels(each.name, each.boxes, each.absent | ~has_area(each.boxes)) for each in truths]
    (tmp_path / "digests.json").write_text(format_label_digests(labels))
    monkeypatch.setitem(PUBLIC_TEST_SETS, "lasot", replace(made, official_labels=tmp_path / "digests.json"))
    return tmp_path


def score(root: Path, *words: str) -> int:
    return main(["score", "lasot", "--results", str(root / "mine"), "--data-root", str(root), *words])


def test_a_ground_truth_that_is_not_lasots_gets_no_number(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(official) == 0
    assert "20 of 20" in capsys.readouterr().out
    for number in range(6):
        path = official / "lasot" / "cat" / f"cat-{number}" / "groundtruth.txt"
        np.savetxt(path, np.loadtxt(path, delimiter=",") * [1, 1, 1.3, 1], "%.2f", ",")
    flags = official / "lasot" / "cat" / "cat-9" / "full_occlusion.txt"
    flags.write_text(flags.read_text().replace("1", "0"))
    assert score(official) == 2
    said = capsys.readouterr().err
    listed = ", ".join(f"cat-{number} (boxes)" for number in range(5))
    assert f"the ground truth of 7 sequences is not the official one: {listed} and 2 more" in said
    assert "--partial" in said and said.count("\n") == 1
    assert score(official, "--partial", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["partial"] and data["trackers"][0]["metrics"] is None and "7 sequences" in data["deviations"][0]
    assert score(official, "--partial") == 0
    out = capsys.readouterr().out
    assert "PARTIAL, not comparable with any published number, not ranked" in out and "PARTIAL 20 of 20" in out


def test_zeroed_absence_flags_get_no_number(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (official / "lasot").glob("*/*/full_occlusion.txt"):
        path.write_text(path.read_text().replace("1", "0"))
    assert score(official) == 2
    assert "the ground truth of 20 sequences is not the official one: cat-0 (absence)" in capsys.readouterr().err


def test_the_ground_truth_in_another_form_is_the_same(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert score(official, "--json") == 0
    before = json.loads(capsys.readouterr().out)["trackers"]
    for path in (official / "lasot").glob("*/*/groundtruth.txt"):
        path.write_bytes(path.read_bytes().replace(b",", b"\t").replace(b"\n", b"\r\n"))
    assert score(official, "--json") == 0
    assert json.loads(capsys.readouterr().out)["trackers"] == before


def test_60_real_files_with_doubled_widths_get_no_number(real: Path, tmp_path: Path) -> None:
    shutil.copytree(real / "lasot", tmp_path / "lasot")
    names = LASOT.list_sequences(tmp_path)
    for name in names[:60]:
        path = tmp_path / "lasot" / name.rpartition("-")[0] / name / "groundtruth.txt"
        np.savetxt(path, np.loadtxt(path, delimiter=",") * [1, 1, 2, 1], "%g", ",")
    absent = tmp_path / "lasot" / names[100].rpartition("-")[0] / names[100] / "full_occlusion.txt"
    absent.write_text(absent.read_text().replace("1", "0"))
    with pytest.raises(DataError, match=rf"the ground truth of 61 sequences is not the official one: {names[0]} "):
        LASOT.load_ground_truth(tmp_path, partial=False)
    loaded = LASOT.load_ground_truth(tmp_path, partial=True)
    assert len(loaded.ground_truths) == 280 and len(loaded.deviations) == 1


def test_no_archive_for_a_server_is_made_of_centers(tmp_path: Path) -> None:
    server = replace(SERVER_TEST_SETS["trackingnet"], expected_sequences=len(TRUTHS))
    for truth in TRUTHS:
        save(tmp_path / "TEST" / "anno" / f"{truth.name}.txt", truth.boxes[:1])
        frames = tmp_path / "TEST" / "frames" / truth.name
        frames.mkdir(parents=True)
        for number in range(len(truth.boxes)):
            (frames / f"{number}.jpg").touch()
        save(tmp_path / "good" / f"{truth.name}.txt", truth.boxes)
        save(tmp_path / "bad" / f"{truth.name}.txt", to_centers(truth.boxes))
    assert pack_submission(server, tmp_path, tmp_path / "good", tmp_path / "good.zip")["sequences"] == len(TRUTHS)
    with pytest.raises(DataError, match="as centers cx,cy,w,h; write x,y,w,h in pixels; no archive was written"):
        pack_submission(server, tmp_path, tmp_path / "bad", tmp_path / "bad.zip")
    assert not (tmp_path / "bad.zip").exists()
