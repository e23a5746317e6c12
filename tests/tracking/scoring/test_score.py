"""Scores in memory: the completeness gate, what is refused, and how sequences are pooled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foundation.errors import DataError, IncompleteError
from tests.tracking.scoring.conftest import random_boxes
from tracking.scoring import LASOT_OFFICIAL, SequenceGroundTruth, first_boxes, score_sequence, score_tracker
from tracking.scoring.ground_truth import format_name_list
from tracking.scoring.metrics import compute_iou
from tracking.scoring.report import compute_score_differences, format_scores, rank_trackers, scores_to_dict

TRUTHS = [
    SequenceGroundTruth(
        f"cat-{i}" if i < 3 else f"dog-{i}", random_boxes(i, 20 + 10 * i), np.zeros(20 + 10 * i, dtype=bool)
    )
    for i in range(1, 6)
]
TRUTHS = [
    truth._replace(category=truth.name[:3], attributes=("OV",) if i < 2 else ()) for i, truth in enumerate(TRUTHS)
]


def tracker(seed: int) -> dict[str, np.ndarray]:
    return {truth.name: random_boxes(seed + i, len(truth.boxes), truth.boxes) for i, truth in enumerate(TRUTHS)}


def test_the_score_is_the_mean_over_sequences_or_over_frames() -> None:
    boxes = tracker(50)
    each = [score_sequence(boxes[t.name], t.boxes) for t in TRUTHS]
    whole = score_tracker("a", boxes, TRUTHS)
    frames = [len(t.boxes) for t in TRUTHS]
    for name in LASOT_OFFICIAL.metrics:
        values = [one.metric_value(name) for one in each]
        assert whole.metric_values()[name] == pytest.approx(np.mean(values))
        pooled = score_tracker("a", boxes, TRUTHS, replace(LASOT_OFFICIAL, average_over="frames")).metric_values()[name]
        assert pooled == pytest.approx(np.average(values, weights=frames))
    assert not whole.is_partial
    assert [one.name for one in whole.sequences] == [t.name for t in TRUTHS]


def test_a_missing_sequence_or_a_wrong_length_gives_no_number() -> None:
    boxes = tracker(50)
    del boxes["cat-2"]
    boxes["dog-3"] = boxes["dog-3"][:-1]
    boxes["dog-4"] = np.vstack([boxes["dog-4"], boxes["dog-4"][:2]])
    with pytest.raises(IncompleteError) as caught:
        score_tracker("mine", boxes, TRUTHS)
    message = str(caught.value)
    assert "mine: 2 of 5 sequences" in message
    for part in ("missing: cat-2", "dog-3 (49 of 50 boxes)", "dog-4 (62 of 60 boxes)", "--partial"):
        assert part in message
    partial = score_tracker("mine", boxes, TRUTHS, partial=True)
    assert partial.is_partial
    assert [one.name for one in partial.sequences] == ["cat-1", "dog-5"]
    assert partial.missing == ("cat-2",)


def test_a_set_that_is_short_of_ground_truth_is_partial() -> None:
    boxes = tracker(50)
    for more in ({"sequence_names": ["cat-9"]}, {"expected_sequences": 280}, {"deviations": ("cut",)}):
        with pytest.raises(IncompleteError):
            score_tracker("a", boxes, TRUTHS, **more)
        assert score_tracker("a", boxes, TRUTHS, partial=True, **more).is_partial
    assert not score_tracker("a", boxes, TRUTHS, partial=True).is_partial  # whole all the same
    with pytest.raises(IncompleteError, match="no number"):
        score_tracker("a", {}, TRUTHS, partial=True)


def test_a_partial_score_is_marked_everywhere_and_never_ranked() -> None:
    worse, better = tracker(50), {t.name: t.boxes for t in TRUTHS}
    del better["cat-2"]
    scores = [score_tracker("a", worse, TRUTHS), score_tracker("b", better, TRUTHS, partial=True)]
    assert [score.tracker_name for score in rank_trackers(scores)] == ["a", "b"]
    data = scores_to_dict("a set", scores)
    assert data["partial"]
    assert data["trackers"][1]["metrics"] is None
    assert data["trackers"][1]["partial_metrics"]["AUC"] > 95
    assert data["trackers"][0]["metrics"]["AUC"] < 95
    text = format_scores("a set", scores, "category")
    assert "PARTIAL, not comparable with any published number, not ranked" in text
    assert "PARTIAL 4 of 5" in text
    assert "AUC by category (PARTIAL)" in text
    assert "b: missing: cat-2" in text
    better["cat-2"] = TRUTHS[1].boxes
    scores[1] = score_tracker("b", better, TRUTHS)
    assert [score.tracker_name for score in rank_trackers(scores)] == ["b", "a"]
    assert "PARTIAL" not in format_scores("a set", scores, "category")


def test_every_convention_is_in_text_and_data() -> None:
    rules = replace(
        LASOT_OFFICIAL, truncate_to_integers=True, strict_threshold=False, average_over="frames", clip_iou=False
    )
    score = score_tracker("a", tracker(50), TRUTHS, rules)
    text, data = format_scores("a set", [score]), scores_to_dict("a set", [score])
    for part in ("at or above", "not clipped", "mean over frames", "TRUNCATED TO INTEGERS"):
        assert part in text
        assert any(part in line for line in data["conventions"])
    assert data["rules"] == rules.as_dict()
    assert data["rules"]["truncate_to_integers"] is True


def test_breakdowns_and_the_difference_of_two() -> None:
    boxes = tracker(50)
    first, second = score_tracker("a", boxes, TRUTHS), score_tracker("b", {t.name: t.boxes for t in TRUTHS}, TRUTHS)
    own = {one.name: one.metric_value("AUC") for one in first.sequences}
    pairs = dict(compute_score_differences(first, second))
    assert pairs == pytest.approx({name: value - 2000 / 21 for name, value in own.items()})
    assert list(pairs.values()) == sorted(pairs.values(), reverse=True)
    data = scores_to_dict("a set", [first, second])
    assert data["difference"]["sequences"] == pairs
    groups = next(row for row in data["trackers"] if row["tracker"] == "a")
    assert groups["categories"]["cat"]["AUC"] == pytest.approx((own["cat-1"] + own["cat-2"]) / 2)
    assert groups["attributes"] == {"OV": groups["categories"]["cat"]}
    assert "dog-5" in format_scores("a set", [first, second], "sequence")
    bare = score_tracker("a", boxes, [t._replace(attributes=()) for t in TRUTHS])
    assert "these sequences have no known attribute" in format_scores("a set", [bare], "attribute")


@pytest.mark.parametrize(
    ("row", "says"), [([np.nan] * 4, "frame 8"), ([1, 1, -1, 4], "frame 8"), ([1, 1, np.inf, 4], "frame 8")]
)
def test_what_is_no_box_is_refused_by_frame(row: list[float], says: str) -> None:
    boxes = tracker(50)
    boxes["dog-3"][7] = row
    with pytest.raises(DataError, match=says):
        score_tracker("a", boxes, TRUTHS)


def test_shapes_that_do_not_fit_are_refused() -> None:
    truth = TRUTHS[0].boxes
    for predicted, gone in ((truth[:-1], None), (truth[:, :3], None), (truth, np.zeros(3, dtype=bool))):
        with pytest.raises(DataError):
            score_sequence(predicted, truth, gone)
    hole = truth.copy()
    hole[3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        score_sequence(truth, hole)
    absent = np.arange(len(truth)) == 3
    assert score_sequence(truth, hole, absent).metric_value("OP50") == pytest.approx(100 - 100 / len(truth))


def test_corner_coordinates_are_refused() -> None:
    corners = {t.name: np.hstack([t.boxes[:, :2], t.boxes[:, :2] + t.boxes[:, 2:]]) for t in TRUTHS}
    with pytest.raises(DataError, match="as corners x1,y1,x2,y2; write x,y,w,h"):
        score_tracker("a", corners, TRUTHS)


def test_first_boxes_far_from_the_ground_truth_are_named() -> None:
    boxes = tracker(50)
    boxes["cat-1"][0] += 300
    score = score_tracker("a", boxes, TRUTHS)
    assert score.notes == ("first box far from the ground truth (IoU < 0.5) in 1 sequences: cat-1",)


def test_the_sequence_whose_first_box_was_stored_is_named() -> None:
    """Against the definition, pair by pair: the other sequence of equal length whose first box overlaps most."""
    generator = np.random.default_rng(0)
    truths = []
    for number in range(40):
        corner = generator.uniform(0, 2000, 2)
        boxes = np.tile([*corner, 30.0, 20.0], (5 + number % 2, 1))
        truths.append(SequenceGroundTruth(f"thing-{number}", boxes, np.zeros(len(boxes), bool)))
    # each far box is that of another sequence, of this length or of the other one, or near nothing
    far = [truths[int(generator.integers(40))].boxes[0] + generator.uniform(-2, 2, 4) for _ in truths]
    far[3] = np.array([9000.0, 9000.0, 5.0, 5.0])
    expected = {}
    for box, truth in zip(far, truths, strict=True):
        overlaps = {
            other.name: float(compute_iou(box[None], other.boxes[:1])[0])
            for other in truths
            if other.name != truth.name and len(other.boxes) == len(truth.boxes)
        }
        best = max(overlaps, key=lambda name: overlaps[name])
        if overlaps[best] >= first_boxes.MIN_START_IOU:
            expected[truth.name] = best
    cause = first_boxes._match_other_sequences(np.array(far), truths, truths)
    assert 10 < cause.num_boxes == len(expected) < 40
    listed = format_name_list([f"{name} has that of {other}" for name, other in expected.items()])
    assert cause.phrase.endswith(f"equal length: {listed}")
