"""A use of a backbone: UperNet and Semantic FPN through mmsegmentation."""

import warnings

# mmcv says at its import that one head of mmdetection's would need compiled operators; no protocol of ours has it
warnings.filterwarnings("ignore", message="Fail to import ``MultiScaleDeformableAttention``")
