"""The parts of mmsegmentation that we use, imported without the messages that mmsegmentation prints at import.

One message goes to stdout, which is reserved for results. Another warns about missing compiled operators, which none
of our protocols needs.
"""

from __future__ import annotations

import contextlib
import io
import warnings

# import mmseg through this module only: the messages appear at its first import, wherever that is
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
