"""The conventions that change a tracking score, each as a named field, and the sets of conventions in use."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class ScoringRules:
    """The conventions by which boxes become a score. They are printed with every number.

    Attributes:
        name: whose rules these are.
        metrics: names of the reported metrics; trackers are ranked by the first.
        empty_boxes: what becomes of a predicted box of zero width or height: ``previous`` replaces it by the box of the
            frame before (from the second frame on), ``kept`` leaves it.
        first_frame: ``ground truth`` replaces the first prediction by the ground truth; ``excluded`` leaves the frame
            out.
        absent_frames: what becomes of frames without a target, or whose ground truth has no area: a ``failure`` that
            stays in the denominator, ``scored`` like any other frame, or ``excluded`` from the denominator.
        absent_precision: with ``absent_frames`` set to ``failure``: whether such a frame is a ``miss`` or a ``hit`` for
            both precisions (pytracking counts hits on UAV123).
        strict_threshold: an overlap must be above the threshold to succeed; if off, it may be equal.
        clip_iou: clip overlaps to [0, 1], because rounding makes some exceed 1.
        num_thresholds: number of overlap thresholds, evenly spaced over [0, 1].
        precision_threshold_px: largest center error that counts for ``P``, in pixels.
        p_norm_mode: ``at 0.20`` is the fraction of frames with a normalized error up to 0.20; ``mean`` is the mean of
            the fractions at 0, 0.01 ... 0.50.
        min_norm_size: smallest width and height of the ground truth to normalize by, in pixels; 0 for no limit.
        clip_to_image: clip both boxes to the image first, as got10k does.
        average_over: the score is the mean over ``sequences``, or over the ``frames`` of all sequences.
        truncate_to_integers: truncate predictions to integers first, as in files that were saved with ``astype(int)``.
    """

    # the defaults are LaSOT's official rules, so that the other sets only name what differs
    name: str
    metrics: tuple[str, ...] = ("AUC", "P", "P_norm", "OP50", "OP75")
    empty_boxes: Literal["previous", "kept"] = "previous"
    first_frame: Literal["ground truth", "excluded"] = "ground truth"
    absent_frames: Literal["failure", "scored", "excluded"] = "failure"
    absent_precision: Literal["miss", "hit"] = "miss"
    strict_threshold: bool = True
    clip_iou: bool = True
    num_thresholds: int = 21
    precision_threshold_px: int = 20
    p_norm_mode: Literal["at 0.20", "mean"] = "at 0.20"
    min_norm_size: float = 0.0
    clip_to_image: bool = False
    average_over: Literal["sequences", "frames"] = "sequences"
    truncate_to_integers: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return every convention as plain data."""
        return asdict(self)

    def describe_conventions(self) -> list[str]:
        """Return every convention in words, one line each."""
        above = "above" if self.strict_threshold else "at or above"
        lines = [
            f"rules: {self.name}",
            f"overlap: success {above} the threshold, {self.num_thresholds} thresholds over [0, 1], "
            f"IoU {'clipped to [0, 1]' if self.clip_iou else 'not clipped'}",
            f"absent frames: {_ABSENT_PHRASES[self.absent_frames]}"
            + (f", a {self.absent_precision} of the precisions" if self.absent_frames == "failure" else ""),
            f"first frame: {'replaced by the ground truth' if self.first_frame == 'ground truth' else 'excluded'}",
            "predicted boxes of zero size: "
            + ("replaced by the previous box" if self.empty_boxes == "previous" else "kept as they are"),
        ]
        if "P" in self.metrics:
            lines.append(f"P: center error up to {self.precision_threshold_px} px")
        if "P_norm" in self.metrics:
            floor = f", divided by at least {self.min_norm_size:g} px" if self.min_norm_size else ""
            share = "fraction up to 0.20" if self.p_norm_mode == "at 0.20" else "mean fraction at 0, 0.01 ... 0.50"
            lines.append(f"P_norm: center error per axis over ground-truth width and height{floor}; {share}")
        if self.clip_to_image:
            lines.append("both boxes are clipped to the image")
        lines.append(f"pooling: mean over {self.average_over}")
        lines.append(
            f"predictions: {'TRUNCATED TO INTEGERS (--int)' if self.truncate_to_integers else 'as given, not rounded'}"
        )
        return lines


# the words of describe_conventions for each value of absent_frames
_ABSENT_PHRASES = {
    "failure": "failures, kept in the denominator",
    "scored": "scored like any other",
    "excluded": "excluded from the denominator",
}

LASOT_OFFICIAL = ScoringRules("official (the LaSOT toolkit, OSTrack and pytracking agree)")
"""The rules of LaSOT's published numbers."""

LASOT_GOT10K = ScoringRules(
    "got10k (ExperimentLaSOT of its master branch)",
    empty_boxes="kept", absent_frames="scored", p_norm_mode="mean", min_norm_size=1.0,
)  # fmt: skip
"""The rules of the got10k package for LaSOT, with another treatment of absent frames and another ``P_norm``."""

# no frame of OTB is marked absent, so the official rules of LaSOT give pytracking's numbers
OTB_PYTRACKING = replace(LASOT_OFFICIAL, name="official: pytracking's, the OTB formula")
# pytracking sets the error of absent frames to -1 there, which is below every threshold
UAV123_PYTRACKING = replace(LASOT_OFFICIAL, name="official: pytracking's for UAV123", absent_precision="hit")
OTB_GOT10K = replace(LASOT_GOT10K, name="got10k (ExperimentOTB)", metrics=("AUC", "P", "OP50", "OP75"))
UAV123_GOT10K = replace(OTB_GOT10K, name="got10k (ExperimentUAV123)", absent_frames="excluded")
# GOT-10k's server: average overlap and success rates over all frames, the first of each sequence excluded
GOT10K_VAL_OFFICIAL = ScoringRules(
    "official (got10k, ExperimentGOT10k)",
    metrics=("AO", "SR50", "SR75"), empty_boxes="kept", first_frame="excluded", absent_frames="excluded",
    num_thresholds=101, clip_to_image=True, average_over="frames",
)  # fmt: skip
