"""Scores trackers from their boxes: pure metrics, rules that state every convention, readers of plain result files.

In memory: ``score_sequence`` and ``score_tracker``; from files: ``bench score`` (``tracking.scoring.command``).
"""

from tracking.scoring.rules import GOT10K, OFFICIAL, Rules
from tracking.scoring.score import GroundTruth, SequenceScore, TrackerScore, score_sequence, score_tracker

__all__ = [
    "GOT10K",
    "OFFICIAL",
    "GroundTruth",
    "Rules",
    "SequenceScore",
    "TrackerScore",
    "score_sequence",
    "score_tracker",
]
