"""Class names that mmseg knows."""

from __future__ import annotations

from collections.abc import Sequence


def ade20k_names() -> Sequence[str]:
    """The 150 classes of ADE20K's benchmark, in order."""
    from segmentation.mm import ADE20KDataset

    names: Sequence[str] = ADE20KDataset.METAINFO["classes"]
    return names
