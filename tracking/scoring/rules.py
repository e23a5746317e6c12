"""The conventions that move a tracking score, each a named field, and the sets of them that are in use."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class ScoringRules:
    """How boxes become a score; printed with every number.

    Attributes:
        name: whose rules these are.
        metrics: what is reported; the first one ranks.
        empty_boxes: a predicted box of zero width or height is replaced by the ``previous`` frame's (from the second
            frame on) or ``kept``.
        first_frame: the prediction of frame 1 is replaced by the ``ground truth``, or the frame is ``excluded``.
        absent_frames: frames whose target is absent (or whose ground truth is no box) are a ``failure`` and stay in the
            denominator, are ``scored`` like any other, or are ``excluded`` from the denominator too.
        absent_precision: where ``absent_frames`` is ``failure``: whether such a frame is a ``miss`` or a ``hit`` of the
            two precisions (pytracking counts hits on UAV123).
        strict_threshold: an overlap succeeds if it is above the threshold; otherwise if it is at or above.
        clip_iou: overlaps are clipped to [0, 1] (round-off makes some exceed 1).
        num_thresholds: overlap thresholds, evenly spaced over [0, 1].
        precision_threshold_px: centre error of ``P``, pixels.
        p_norm_mode: ``at 0.20``: share of frames with a normalised error up to 0.20; ``mean``: mean over 0, 0.01 ...
            0.50.
        min_norm_size: least ground-truth width and height that normalise, pixels; 0 for none.
        clip_to_image: both boxes are first clipped to the image, the got10k way.
        average_over: the score is the mean over ``sequences``, or over the ``frames`` of all of them.
        truncate_to_integers: predictions are truncated to integers first, as files saved with ``astype(int)`` are.
    """

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
        """Every convention as plain data."""
        return asdict(self)

    def describe_conventions(self) -> list[str]:
        """Every convention in words, one line each."""
        above = "above" if self.strict_threshold else "at or above"
        lines = [
            f"rules: {self.name}",
            f"overlap: success {above} the threshold, {self.num_thresholds} thresholds over [0, 1], "
            f"IoU {'clipped to [0, 1]' if self.clip_iou else 'not clipped'}",
            f"absent frames: {_ABSENT_PHRASES[self.absent_frames]}"
            + (f", a {self.absent_precision} of the precisions" if self.absent_frames == "failure" else ""),
            f"first frame: {'replaced by the ground truth' if self.first_frame == 'ground truth' else 'left out'}",
            "predicted boxes of zero size: "
            + ("replaced by the previous box" if self.empty_boxes == "previous" else "kept as they are"),
        ]
        if "P" in self.metrics:
            lines.append(f"P: centre error up to {self.precision_threshold_px} px")
        if "P_norm" in self.metrics:
            floor = f", divided by at least {self.min_norm_size:g} px" if self.min_norm_size else ""
            share = "share up to 0.20" if self.p_norm_mode == "at 0.20" else "mean of the shares at 0, 0.01 ... 0.50"
            lines.append(f"P_norm: centre error per axis over ground-truth width and height{floor}; {share}")
        if self.clip_to_image:
            lines.append("both boxes are clipped to the image")
        lines.append(f"pooling: mean over {self.average_over}")
        lines.append(
            f"predictions: {'TRUNCATED TO INTEGERS (--int)' if self.truncate_to_integers else 'as given, not rounded'}"
        )
        return lines


_ABSENT_PHRASES = {
    "failure": "failures, kept in the denominator",
    "scored": "scored like any other",
    "excluded": "left out of the denominator",
}

LASOT_OFFICIAL = ScoringRules("official (the LaSOT toolkit, OSTrack and pytracking agree)")
"""LaSOT as its published numbers are made."""

LASOT_GOT10K = ScoringRules(
    "got10k (ExperimentLaSOT of its master branch)",
    empty_boxes="kept", absent_frames="scored", p_norm_mode="mean", min_norm_size=1.0,
)  # fmt: skip
"""LaSOT by the got10k package: another treatment of absent frames and another ``P_norm``."""

OTB_PYTRACKING = replace(LASOT_OFFICIAL, name="official: pytracking's, the OTB formula")
UAV123_PYTRACKING = replace(LASOT_OFFICIAL, name="official: pytracking's for UAV123", absent_precision="hit")
OTB_GOT10K = replace(LASOT_GOT10K, name="got10k (ExperimentOTB)", metrics=("AUC", "P", "OP50", "OP75"))
UAV123_GOT10K = replace(OTB_GOT10K, name="got10k (ExperimentUAV123)", absent_frames="excluded")
GOT10K_VAL_OFFICIAL = ScoringRules(
    "official (got10k, ExperimentGOT10k)",
    metrics=("AO", "SR50", "SR75"), empty_boxes="kept", first_frame="excluded", absent_frames="excluded",
    num_thresholds=101, clip_to_image=True, average_over="frames",
)  # fmt: skip
