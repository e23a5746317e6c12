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
    from mmseg.models.data_preprocessor import SegDataPreProcessor
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead
    from mmseg.models.segmentors import EncoderDecoder, SegTTAModel
    from mmseg.models.segmentors.base import BaseSegmentor
    from mmseg.models.utils import Upsample
    from mmseg.registry import DATASETS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS

__all__ = [
    "DATASETS",
    "MODELS",
    "OPTIM_WRAPPER_CONSTRUCTORS",
    "ADE20KDataset",
    "BaseDecodeHead",
    "BaseSegmentor",
    "EncoderDecoder",
    "IoUMetric",
    "PackSegInputs",
    "PhotoMetricDistortion",
    "RandomCrop",
    "SegDataPreProcessor",
    "SegTTAModel",
    "Upsample",
]
