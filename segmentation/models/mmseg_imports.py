"""The parts of mmsegmentation that we use, imported without what they say at import.

One remark goes to stdout, which is for results; another is about compiled operators, which no protocol of ours has.
"""

from __future__ import annotations

import contextlib
import io
import warnings

with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")
    from mmseg.datasets import ADE20KDataset
    from mmseg.datasets.transforms import PackSegInputs, PhotoMetricDistortion, RandomCrop
    from mmseg.evaluation import IoUMetric
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead
    from mmseg.models.segmentors import EncoderDecoder
    from mmseg.registry import MODELS

__all__ = [
    "MODELS",
    "ADE20KDataset",
    "BaseDecodeHead",
    "EncoderDecoder",
    "IoUMetric",
    "PackSegInputs",
    "PhotoMetricDistortion",
    "RandomCrop",
]
