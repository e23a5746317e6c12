"""The conventions that move a tracking score, each a named field, and the sets of them that are in use."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Rules:
    """How boxes become a score; printed with every number.

    Attributes:
        name: whose rules these are.
        metrics: what is reported; the first one ranks.
        empty_boxes: a predicted box of zero width or height is replaced by the ``previous`` frame's (from the second
            frame on) or ``kept``.
        first_frame: the prediction of frame 1 is replaced by the ``ground truth``, or the frame is ``excluded``.
        absent: frames whose target is absent (or whose ground truth is no box) are a ``failure`` and stay in the
            denominator, are ``scored`` like any other, or are ``excluded`` from the denominator too.
        absent_precision: where ``absent`` is ``failure``: whether such a frame is a ``miss`` or a ``hit`` of the two
            precisions (pytracking counts hits on UAV123).
        strict: an overlap succeeds if it is above the threshold; otherwise if it is at or above.
        iou_clipped: overlaps are clipped to [0, 1] (round-off makes some exceed 1).
        thresholds: overlap thresholds, evenly spaced over [0, 1].
        precision_px: centre error of ``P``, pixels.
        p_norm: ``at 0.20``: share of frames with a normalised error up to 0.20; ``mean``: mean over 0, 0.01 ... 0.50.
        norm_floor: least ground-truth width and height that normalise, pixels; 0 for none.
        clip_to_image: both boxes are first clipped to the image, the got10k way.
        pooling: the score is the mean over ``sequences``, or over the ``frames`` of all of them.
        integers: predictions are truncated to integers first, as files saved with ``astype(int)`` are.
    """

    name: str
    metrics: tuple[str, ...] = ("AUC", "P", "P_norm", "OP50", "OP75")
    empty_boxes: Literal["previous", "kept"] = "previous"
    first_frame: Literal["ground truth", "excluded"] = "ground truth"
    absent: Literal["failure", "scored", "excluded"] = "failure"
    absent_precision: Literal["miss", "hit"] = "miss"
    strict: bool = True
    iou_clipped: bool = True
    thresholds: int = 21
    precision_px: int = 20
    p_norm: Literal["at 0.20", "mean"] = "at 0.20"
    norm_floor: float = 0.0
    clip_to_image: bool = False
    pooling: Literal["sequences", "frames"] = "sequences"
    integers: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Every convention as plain data."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """Every convention in words, one line each."""
        above = "above" if self.strict else "at or above"
        lines = [
            f"rules: {self.name}",
            f"overlap: success {above} the threshold, {self.thresholds} thresholds over [0, 1], "
            f"IoU {'clipped to [0, 1]' if self.iou_clipped else 'not clipped'}",
            f"absent frames: {_ABSENT[self.absent]}"
            + (f", a {self.absent_precision} of the precisions" if self.absent == "failure" else ""),
            f"first frame: {'replaced by the ground truth' if self.first_frame == 'ground truth' else 'left out'}",
            "predicted boxes of zero size: "
            + ("replaced by the previous box" if self.empty_boxes == "previous" else "kept as they are"),
        ]
        if "P" in self.metrics:
            lines.append(f"P: centre error up to {self.precision_px} px")
        if "P_norm" in self.metrics:
            floor = f", divided by at least {self.norm_floor:g} px" if self.norm_floor else ""
            share = "share up to 0.20" if self.p_norm == "at 0.20" else "mean of the shares at 0, 0.01 ... 0.50"
            lines.append(f"P_norm: centre error per axis over ground-truth width and height{floor}; {share}")
        if self.clip_to_image:
            lines.append("both boxes are clipped to the image")
        lines.append(f"pooling: mean over {self.pooling}")
        lines.append(f"predictions: {'TRUNCATED TO INTEGERS (--int)' if self.integers else 'as given, not rounded'}")
        return lines


_ABSENT = {
    "failure": "failures, kept in the denominator",
    "scored": "scored like any other",
    "excluded": "left out of the denominator",
}

OFFICIAL = Rules("official (the LaSOT toolkit, OSTrack and pytracking agree)")
"""LaSOT as its published numbers are made."""

GOT10K = Rules(
    "got10k (ExperimentLaSOT of its master branch)",
    empty_boxes="kept", absent="scored", p_norm="mean", norm_floor=1.0,
)  # fmt: skip
"""LaSOT by the got10k package: another treatment of absent frames and another ``P_norm``."""

OTB_PYTRACKING = replace(OFFICIAL, name="official: pytracking's, the OTB formula")
UAV123_PYTRACKING = replace(OFFICIAL, name="official: pytracking's for UAV123", absent_precision="hit")
OTB_GOT10K = replace(GOT10K, name="got10k (ExperimentOTB)", metrics=("AUC", "P", "OP50", "OP75"))
UAV123_GOT10K = replace(OTB_GOT10K, name="got10k (ExperimentUAV123)", absent="excluded")
GOT10K_VAL = Rules(
    "official (got10k, ExperimentGOT10k)",
    metrics=("AO", "SR50", "SR75"), empty_boxes="kept", first_frame="excluded", absent="excluded",
    thresholds=101, clip_to_image=True, pooling="frames",
)  # fmt: skip
