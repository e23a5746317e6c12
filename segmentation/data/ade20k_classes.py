"""Class names that mmseg knows."""

from __future__ import annotations

from collections.abc import Sequence


def get_ade20k_classes() -> Sequence[str]:
    """The 150 classes of ADE20K's benchmark, in order."""
    from segmentation.models.mmseg_imports import ADE20KDataset

    return [name.strip() for name in ADE20KDataset.METAINFO["classes"]]
