"""Compare CamVid's label maps with the official ones."""

from __future__ import annotations

from engine.data.official.label_digests import compare_labels, read_label_digests, unpack_items
from segmentation.data.ade20k_classes import LABEL_DIGESTS_FILE
from segmentation.data.label_summaries import LabelSummaries


def compare_camvid_labels(summaries: LabelSummaries) -> tuple[str, ...]:
    """Return how the label maps differ from those of SegNet's tutorial, one sentence each; empty if they do not.

    Maps are compared by their values, so it does not matter how the files are compressed.
    """
    found = {
        split: [(name, summary.map_digest) for name, summary in rows] for split, rows in summaries.by_split.items()
    }
    return compare_labels(found, unpack_items(read_label_digests(LABEL_DIGESTS_FILE)["camvid"])).deviations
