"""Score trackers by their boxes: pure metric functions, rules that name every convention, and readers of result files.

For boxes in memory use ``score_sequence`` and ``score_tracker``; for files use ``bench score``
(``tracking.scoring.command``).
"""

from tracking.scoring.ground_truth import SequenceGroundTruth
from tracking.scoring.rules import LASOT_GOT10K, LASOT_OFFICIAL, ScoringRules
from tracking.scoring.score import SequenceScore, TrackerScore, score_sequence, score_tracker

__all__ = [
    "LASOT_GOT10K",
    "LASOT_OFFICIAL",
    "SequenceGroundTruth",
    "ScoringRules",
    "SequenceScore",
    "TrackerScore",
    "score_sequence",
    "score_tracker",
]
