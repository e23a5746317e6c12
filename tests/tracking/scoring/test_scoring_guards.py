"""Each rule of scoring is taken out of a copy of the source; its test must go red."""

from __future__ import annotations

import pytest

from tests.guards import Guard, SourceCopy, copy, list_guard_names

__all__ = ["copy"]

METRICS, SCORE, REPORT = (f"tracking/scoring/{name}.py" for name in ("metrics", "score", "report"))
TESTS = "tests/tracking/scoring/"
BOX_FILES, BOX_TESTS = "tracking/data/box_files.py", "tests/tracking/data/test_box_files.py"

GUARDS = {
    "zero-size boxes repeat the previous": Guard(
        METRICS, "boxes = fill_empty_boxes(boxes)", "pass", TESTS + "test_metrics.py -k zero_size_box"
    ),
    "the first frame is replaced": Guard(
        METRICS, "boxes[0] = truth[0]", "pass", TESTS + "test_metrics.py -k first_frame"
    ),
    "absent frames fail": Guard(
        METRICS, "failed = absent |", "failed =", TESTS + "test_metrics.py -k absent_frames_fail"
    ),
    "ground truth without size fails": Guard(
        METRICS, "absent | ~(truth[:, 2:] > 0).all(axis=1)", "absent", TESTS + "test_metrics.py -k without_size"
    ),
    "the threshold is strict": Guard(
        METRICS, "overlaps[:, None] > levels if strict", "overlaps[:, None] >= levels if strict",
        TESTS + "test_metrics.py -k strict",
    ),
    "IoU is clipped": Guard(
        METRICS, "np.clip(overlap, 0, 1) if clip", "overlap if clip", TESTS + "test_metrics.py -k itself"
    ),
    "no number unless the set is whole": Guard(
        SCORE, "if not fitting or not (whole or partial):", "if not fitting:",
        TESTS + "test_score.py -k gives_no_number"
    ),
    "a cut set is partial": Guard(
        SCORE, "self.deviations or self.box_faults)\n            or len(self.sequences) != self.expected_sequences",
        "self.box_faults)",
        TESTS + "test_score.py -k short_of_ground_truth",
    ),
    "corner coordinates are refused": Guard(
        SCORE, "    if fault.is_serious and not partial:\n", "    if False:\n", TESTS + "test_score.py -k corner"
    ),
    "NaN in memory is refused": Guard(
        SCORE, "~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0)", "(boxes[:, 2:] < 0)",
        TESTS + "test_score.py -k refused_by_frame"
    ),
    "empty lines are not skipped": Guard(
        BOX_FILES, "if boxes.shape == (len(lines), 4):", "if boxes.shape[1] == 4:", BOX_TESTS + " -k refused"
    ),
    "a negative size is refused": Guard(
        BOX_FILES, "    if negative.any():", "    if False:", BOX_TESTS + " -k refused"
    ),
    "infinity is refused": Guard(
        BOX_FILES, "~(np.abs(boxes) <= MAX_COORDINATE).all(axis=1)", "np.zeros(len(boxes), bool)",
        BOX_TESTS + " -k refused"
    ),
    "a partial score is never ranked": Guard(
        REPORT, "if any(score.is_partial for score in scores):\n        return", "if False:\n        return",
        TESTS + "test_score.py -k marked_everywhere",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list_guard_names(GUARDS))
def test_without_the_rule_its_test_goes_red(name: str, copy: SourceCopy) -> None:
    assert not copy.passes_without(GUARDS[name])


def test_the_copy_with_all_rules_passes(copy: SourceCopy) -> None:
    assert copy.passes(TESTS + "test_metrics.py")
