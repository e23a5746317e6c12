"""Success AUC as LaSOT's toolkit, pytracking and OSTrack compute it."""

from __future__ import annotations

import numpy as np

from tracking.boxes import Floats, iou
from tracking.readers.sequence import Flags

THRESHOLDS = np.arange(21) / 20


def success_auc(predicted: Floats, truth: Floats, visible: Flags) -> float:
    """Area under the success curve of one sequence, in percent.

    The first box counts as the truth; IoU must be strictly above each of the 21 thresholds 0, 0.05 .. 1; frames where
    the target cannot be seen or has no area are failures and stay in the denominator.

    Args:
        predicted, truth: (frames, 4).
        visible: (frames,).

    >>> box = np.array([[0.0, 0.0, 4.0, 4.0]] * 2)
    >>> round(success_auc(box, box, np.array([True, True])), 3)
    95.238
    """
    boxes = predicted.copy()
    boxes[0] = truth[0]
    overlap = np.where(visible & (truth[:, 2:] > 0).all(1), iou(boxes, truth), -1.0)
    return 100 * float((overlap[:, None] > THRESHOLDS).mean())
