"""The class names of ADE20K, as mmseg lists them."""

from __future__ import annotations

from collections.abc import Sequence


def get_ade20k_classes() -> Sequence[str]:
    """Return the names of ADE20K's 150 benchmark classes, by class index."""
    # imported here because mmseg takes seconds to import, and most commands need no class names
    from segmentation.models.mmseg_imports import ADE20KDataset

    # mmseg's list has names with a trailing space ("bed ")
    return [name.strip() for name in ADE20KDataset.METAINFO["classes"]]
