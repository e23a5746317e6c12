"""The LaSOT score written a second time, frame by frame, from the formulas (with exact fractions where it can tie)."""

from __future__ import annotations

import math
from fractions import Fraction

Box = tuple[Fraction, ...]


def to_fractions(row: object) -> Box:
    return tuple(Fraction(str(float(value))) for value in row)  # type: ignore[attr-defined]


def exact_iou(a: Box, b: Box) -> Fraction:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return Fraction(0)
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def reference_score(predicted: list[Box], truth: list[Box], absent: list[bool]) -> dict[str, float]:
    """AUC, P, P_norm, OP50, OP75 in percent by facts 2.1 of the LaSOT protocol."""
    boxes = list(predicted)
    for i in range(1, len(boxes)):
        if boxes[i][2] == 0 or boxes[i][3] == 0:
            boxes[i] = boxes[i - 1]
    boxes[0] = truth[0]
    succeeded = [0] * 21
    near = near_norm = 0
    for box, true, gone in zip(boxes, truth, absent, strict=True):
        if gone or true[2] <= 0 or true[3] <= 0:
            continue
        value = exact_iou(box, true)
        for k in range(21):
            succeeded[k] += value > Fraction(k, 20)
        dx = (box[0] + (box[2] - 1) / 2) - (true[0] + (true[2] - 1) / 2)
        dy = (box[1] + (box[3] - 1) / 2) - (true[1] + (true[3] - 1) / 2)
        near += dx * dx + dy * dy <= 400
        near_norm += (dx / true[2]) ** 2 + (dy / true[3]) ** 2 <= Fraction(1, 25)
    n = len(truth)
    return {
        "AUC": 100 * math.fsum(succeeded) / (21 * n),
        "P": 100 * near / n,
        "P_norm": 100 * near_norm / n,
        "OP50": 100 * succeeded[10] / n,
        "OP75": 100 * succeeded[15] / n,
    }
