"""Real LaSOT results: the reference numbers, the gate, and a second implementation on real sequences."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError, IncompleteError
from tests.tracking.scoring.naive import reference_score, to_fractions
from tracking.scoring import LASOT_GOT10K, LASOT_OFFICIAL, ScoringRules, TrackerScore, score_tracker
from tracking.scoring.layouts import LASOT_ATTRIBUTES, read_lasot_annotation
from tracking.scoring.results import find_result_files, read_tracker_results
from tracking.scoring.sets import PUBLIC_TEST_SETS, LoadedGroundTruth

LASOT = PUBLIC_TEST_SETS["lasot"]
NAMES = ("AUC", "P", "P_norm")


@cache
def truth(real: Path) -> LoadedGroundTruth:
    return LASOT.load_ground_truth(real, partial=False)


@cache
def results(folder: Path, real: Path) -> dict[str, list[np.ndarray]]:
    return read_tracker_results(
        folder, truth(real).ground_truths, LASOT.truncated_sequences, LASOT.has_repetitions
    ).boxes


def scored(real: Path, tracker: str, rules: ScoringRules) -> TrackerScore:
    return score_tracker(
        tracker, results(real / tracker, real), truth(real).ground_truths, rules, expected_sequences=280
    )


# Official: OSTrack's, pytracking's and the LaSOT toolkit's code on the same files; got10k: its ExperimentLaSOT.
@pytest.mark.parametrize(
    ("tracker", "rules", "expected"),
    [
        ("ATOM", LASOT_OFFICIAL, (51.434, 50.543, 57.681)),
        ("SiamRPNpp", LASOT_OFFICIAL, (49.559, 49.144, 56.941)),
        ("ATOM", LASOT_GOT10K, (51.535, 50.682, 53.845)),
        ("SiamRPNpp", LASOT_GOT10K, (49.611, 49.193, 52.759)),
        # Dropping absent frames from the denominator; P and P_norm given to two decimals.
        ("ATOM", replace(LASOT_OFFICIAL, absent_frames="excluded"), (52.60, 51.72, 58.96)),
    ],
)
def test_reference_numbers(real: Path, tracker: str, rules: ScoringRules, expected: tuple[float, ...]) -> None:
    values = scored(real, tracker, rules).metric_values()
    assert [values[name] for name in NAMES] == pytest.approx(list(expected), abs=0.005)


def test_integers_move_the_score_as_measured(real: Path) -> None:
    whole = scored(real, "SiamRPNpp", LASOT_OFFICIAL).metric_values()
    cut = scored(real, "SiamRPNpp", replace(LASOT_OFFICIAL, truncate_to_integers=True)).metric_values()
    assert [cut[name] - whole[name] for name in NAMES] == pytest.approx([-0.42, -0.11, -0.44], abs=0.01)


def test_per_sequence_values_average_to_the_score(real: Path) -> None:
    score = scored(real, "ATOM", LASOT_OFFICIAL)
    assert len(score.sequences) == 280
    assert np.mean([one.metric_value("AUC") for one in score.sequences]) == pytest.approx(score.metric_values()["AUC"])
    assert len(score.group_sequences("category")) == 70
    assert sum(one.frames for one in score.sequences) == 685_360


@pytest.mark.parametrize("tracker", ["ATOM", "SiamRPNpp"])
def test_a_second_implementation_agrees_on_real_sequences(real: Path, tracker: str) -> None:
    by_name = {one.name: one for one in scored(real, tracker, LASOT_OFFICIAL).sequences}
    absent_frames = 0
    for sequence in (t for t in truth(real).ground_truths if t.name in ("bird-17", "horse-15", "coin-3")):
        boxes = results(real / tracker, real)[sequence.name][0]
        gone = sequence.absent.tolist()
        absent_frames += sum(gone)
        expected = reference_score(
            [to_fractions(row) for row in boxes], [to_fractions(row) for row in sequence.boxes], gone
        )
        assert by_name[sequence.name].metric_values() == pytest.approx(expected, abs=1e-9)
    assert absent_frames >= 50
    assert tracker != "ATOM" or (results(real / tracker, real)["horse-15"][0][:, 2:] == 0).any(axis=1).sum() == 18


def test_absence_is_in_either_file(real: Path, tmp_path: Path) -> None:
    assert sum(int(t.absent.sum()) for t in truth(real).ground_truths) == 18_346
    shutil.copytree(real / "lasot" / "bird" / "bird-2", tmp_path / "bird" / "bird-2")
    folder = tmp_path / "bird" / "bird-2"
    before = read_lasot_annotation("bird-2", folder / "groundtruth.txt").absent
    flags = (folder / "full_occlusion.txt").read_text(), (folder / "out_of_view.txt").read_text()
    (folder / "full_occlusion.txt").write_text(flags[1])
    (folder / "out_of_view.txt").write_text(flags[0])
    assert (read_lasot_annotation("bird-2", folder / "groundtruth.txt").absent == before).all()
    (folder / "out_of_view.txt").unlink()
    with pytest.raises(DataError, match=r"out_of_view\.txt"):
        read_lasot_annotation("bird-2", folder / "groundtruth.txt")


def test_attributes_where_their_file_is_there(real: Path, tmp_path: Path) -> None:
    shutil.copytree(real / "lasot" / "bird" / "bird-2", tmp_path / "bird" / "bird-2")
    (tmp_path / "att").mkdir()
    (tmp_path / "att" / "bird-2.txt").write_text("0,1,0,0,0,0,0,0,0,0,0,1,0,0\n")
    assert read_lasot_annotation("bird-2", tmp_path / "bird" / "bird-2" / "groundtruth.txt").attributes == ("POC", "OV")
    assert len(LASOT_ATTRIBUTES) == 14


def test_both_trackers_in_under_10_seconds_with_reading(real: Path) -> None:
    began = time.process_time()
    loaded = LASOT.load_ground_truth(real, partial=False)
    for tracker in ("ATOM", "SiamRPNpp"):
        boxes = read_tracker_results(
            real / tracker, loaded.ground_truths, LASOT.truncated_sequences, LASOT.has_repetitions
        ).boxes
        score_tracker(tracker, boxes, loaded.ground_truths, expected_sequences=280).metric_values()
    assert time.process_time() - began < 10


def test_only_monkey_17_may_be_longer(real: Path, tmp_path: Path) -> None:
    for name in ("monkey-17", "monkey-3"):
        content = (real / "ATOM" / f"{name}.txt").read_text()
        (tmp_path / f"{name}.txt").write_text(content + "1,2,3,4\n" * 40)
    read = read_tracker_results(tmp_path, truth(real).ground_truths, LASOT.truncated_sequences, LASOT.has_repetitions)
    assert read.notes == ("monkey-17: 2300 boxes cut to its 2260 frames, as the official tools do",)
    assert np.array_equal(read.boxes["monkey-17"][0], results(real / "ATOM", real)["monkey-17"][0])
    with pytest.raises(IncompleteError, match=r"monkey-3 \(\d+ of \d+ boxes\)"):
        score_tracker("a", results(real / "ATOM", real) | read.boxes, truth(real).ground_truths)


def test_a_cut_ground_truth_is_noticed(real: Path, tmp_path: Path) -> None:
    shutil.copytree(real / "lasot", tmp_path / "lasot")
    folder = tmp_path / "lasot" / "bird" / "bird-2"
    for name in ("groundtruth", "full_occlusion", "out_of_view"):
        path = folder / f"{name}.txt"
        separator = "\n" if name == "groundtruth" else ","
        path.write_text(separator.join(path.read_text().strip().split(separator)[:-1]))
    with pytest.raises(DataError, match="685,359 frames, LaSOT testing set has 685,360"):
        LASOT.load_ground_truth(tmp_path, partial=False)
    (folder / "groundtruth.txt").unlink()
    with pytest.raises(DataError, match=r"ground truth of 1 sequences is not in .*: bird-2"):
        LASOT.load_ground_truth(tmp_path, partial=False)
    assert len(LASOT.load_ground_truth(tmp_path, partial=True).ground_truths) == 279


@pytest.mark.parametrize(
    ("name", "expected"),
    [("pedestrian-1", (4.048, 11.667, 2.500)), ("bag-1", (6.948, 0.510, 0.510))],
)
def test_a_static_box_on_the_real_videos(shared_data: Path, name: str, expected: tuple[float, ...]) -> None:
    """The reference for bag-1 was taken without clipping: its float first frame has an IoU of 1 + 7e-16 with itself."""
    loaded = LASOT.load_ground_truth(shared_data / "sequences", partial=True)
    assert loaded.deviations
    sequence = next(t for t in loaded.ground_truths if t.name == name)
    boxes = np.repeat(sequence.boxes[:1], len(sequence.boxes), axis=0)
    unclipped = score_tracker(
        "static", {name: boxes}, [sequence], replace(LASOT_OFFICIAL, clip_iou=False)
    ).metric_values()
    assert [unclipped[key] for key in NAMES] == pytest.approx(list(expected), abs=0.0006)
    values = score_tracker("static", {name: boxes}, [sequence]).metric_values()
    one_frame_too_many = 100 / 21 / len(boxes) if name == "bag-1" else 0.0
    assert values["AUC"] == pytest.approx(unclipped["AUC"] - one_frame_too_many, abs=1e-9)
    itself = score_tracker("itself", {name: sequence.boxes}, [sequence]).metric_values()
    assert itself["AUC"] == pytest.approx(2000 / 21, abs=1e-9)


def test_result_files_of_other_sequences_are_not_taken(real: Path, tmp_path: Path) -> None:
    assert find_result_files(real / "ATOM", "bus-2", has_repetitions=False) == [real / "ATOM" / "bus-2.txt"]
    (tmp_path / "bus-2_time.txt").write_text("0.1\n")
    with pytest.raises(DataError, match="holds no result of any sequence"):
        read_tracker_results(tmp_path, truth(real).ground_truths, LASOT.truncated_sequences, LASOT.has_repetitions)
