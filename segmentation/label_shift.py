"""Notice predictions whose labels are shifted by one: they are legal numbers, and nearly every pixel counts as wrong.

A network that writes its classes from 0 is out of range for a set whose labels begin with 1 only where it answers class
0. If it never does, as on a few images without a wall, the score is near 0 and nothing else tells. So the labels are
compared a second and a third time with 1 added and subtracted. Nothing is ever scored in a shifted form.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SHIFTS = (-1, 0, 1)

MIN_RATIO = 2.0
"""The shifted labels must hit this many times as many pixels as those in the files ..."""
MIN_GAIN = 0.05
"""... and this share of all pixels more ..."""
MIN_CLASS_SHARE = 0.01
MIN_CLASSES = 3
"""... in as many classes with this share of the pixels each, or in all such classes of the truth if these are fewer,
but at least two: a network that answers one class everywhere, or two the wrong way round, may be right with a shift by
chance. On CamVid, 14 of 121 answers of one class above and one below would be taken for shifted by the rule of two."""


class LabelShiftTrial:
    """Counts the pixels that predictions hit as they are, and with 1 added or subtracted.

    Args:
        num_classes: number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.hits = {shift: np.zeros(num_classes, np.int64) for shift in SHIFTS}
        self.truth = np.zeros(num_classes, np.int64)

    def add_image(self, prediction: NDArray[np.int64], truth: NDArray[np.uint8]) -> None:
        """Count an image.

        Args:
            prediction: class indices, (height, width).
            truth: class indices, (height, width); pixels above the last class are not scored.
        """
        # the ignored index lies above every class
        counts = truth < self.num_classes
        found, real = prediction[counts].astype(np.int64), truth[counts].astype(np.int64)
        self.truth += np.bincount(real, minlength=self.num_classes)
        for shift, hits in self.hits.items():
            # a shifted number beyond the classes equals no class of the truth, so it needs no bound
            hits += np.bincount(real[found + shift == real], minlength=self.num_classes)

    def describe_shift(self) -> str:
        """Return which shift fits clearly better than none, and what to do; "" if none does.

        >>> trial = LabelShiftTrial(3)
        >>> trial.add_image(np.array([[0, 0, 1, 1]]), np.array([[1, 1, 2, 2]], np.uint8))
        >>> trial.describe_shift()
        'as they are the labels hit 0.0 % of the pixels, with 1 added to each 100.0 %; add 1 to every label'
        """
        plain, num_pixels = int(self.hits[0].sum()), int(self.truth.sum())
        # of two shifts that fit, as in a set of stripes, the better one is named
        shift = max((-1, 1), key=lambda each: int(self.hits[each].sum()))
        hits = self.hits[shift]
        fits = int(hits.sum())
        num_hit, num_wide = (int((counts > MIN_CLASS_SHARE * num_pixels).sum()) for counts in (hits, self.truth))
        is_wide = num_hit >= max(2, min(MIN_CLASSES, num_wide))
        if not is_wide or fits < MIN_RATIO * plain or fits - plain < MIN_GAIN * num_pixels:
            return ""
        done, cure = ("added to", "add 1 to") if shift == 1 else ("subtracted from", "subtract 1 from")
        plain_share, share = (100 * count / num_pixels for count in (plain, fits))
        return (
            f"as they are the labels hit {plain_share:.1f} % of the pixels, with 1 {done} each {share:.1f} %; "
            f"{cure} every label"
        )
