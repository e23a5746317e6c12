"""Scores trackers from their boxes: pure metrics, rules that state every convention, readers of plain result files.

In memory: ``score_sequence`` and ``score_tracker``; from files: ``bench score`` (``tracking.scoring.command``).
"""

from tracking.scoring.rules import LASOT_GOT10K, LASOT_OFFICIAL, ScoringRules
from tracking.scoring.score import SequenceGroundTruth, SequenceScore, TrackerScore, score_sequence, score_tracker

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
