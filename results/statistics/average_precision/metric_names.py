"""The names of COCO's twenty-four numbers. Imports no numpy, so that a task can be declared without loading it."""

from __future__ import annotations

KIND_PREFIXES = ("box", "mask")
"""What is compared with the truth, as the names of metrics begin."""

SCORE_NAMES = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
"""The twelve numbers of each kind, in the order in which pycocotools lists them."""

COCO_METRIC_NAMES = tuple(f"{kind}_{score}" for kind in KIND_PREFIXES for score in SCORE_NAMES)
"""All names: ``box_AP``, ``box_AP50`` ... ``mask_AR_large``."""
