"""The manifest of an exported classifier or segmentor: its input and output, and how far it is from PyTorch's."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, PositiveInt

from deployment.manifest import ExportManifest
from engine.recipe import StrictConfig

IMAGE_GRAPH = "model"
IMAGE_INPUT = "images"

ImageModelKind = Literal["classifier", "segmentor"]
ImageModelOutput = Literal["logits", "labels"]
LogitSize = Literal["input", "head"]


class ImageModelFacts(StrictConfig):
    """What a user of an exported image model has to know to use it.

    Attributes:
        kind: what the model is.
        output: ``logits``, (1, classes) of a classifier and (1, classes, height, width) of a segmentor; or ``labels``,
            the class with the highest logit, without the dimension of the classes.
        logit_size: whether the logits of a segmentor have the size of the input, or the lower resolution of its head.
        num_classes: number of classes.
        class_names: name of each class, by class index; empty if they are not known.
        mean, std: the input is (pixel / 255 - mean) / std in the order red, green, blue.
        preprocessing: how an image becomes pixels of the input's size, in words and numbers.
        dynamic_size: whether height and width of the input may differ from ``ImageManifest.size``.
        size_divisor: height and width of the input must be multiples of these.
    """

    # lists and not tuples: a manifest is JSON, and pydantic's strict mode takes no list where it expects a tuple
    kind: ImageModelKind
    output: ImageModelOutput = "logits"
    logit_size: LogitSize = "input"
    num_classes: PositiveInt
    class_names: list[str] = Field(default=[])
    mean: list[float] = Field(min_length=3, max_length=3)
    std: list[float] = Field(min_length=3, max_length=3)
    preprocessing: dict[str, Any] = Field(default={})
    dynamic_size: bool = False
    size_divisor: list[PositiveInt] = Field(default=[1, 1], min_length=2, max_length=2)


class ImageParity(StrictConfig):
    """How far an exported image model is from PyTorch's in f32, on real images.

    Attributes:
        images: number of images.
        source: where they come from, in words.
        fingerprint: SHA-256 of their pixels.
        sizes: height and width of the images, each size once.
        agreement: fraction of images (of a segmentor: of pixels) for which the class with the highest logit is equal.
        difference: largest absolute difference of a logit; ``None`` for labels, as the following.
        scale: largest absolute logit of PyTorch's model.
        noise: root mean square of the differences, in units of the standard deviation of an output over the classes.
    """

    images: PositiveInt
    source: str
    fingerprint: str
    sizes: list[list[PositiveInt]]
    agreement: float = Field(ge=0, le=1)
    difference: float | None = None
    scale: float | None = None
    noise: float | None = None


class ImageManifest(ExportManifest):
    """The manifest of an exported classifier or segmentor.

    Attributes:
        facts: what a user has to know.
        size: height and width of the input, pixels; of a dynamic size those it was exported with.
        model_sha256: SHA-256 of the model's tensors and plain attributes, by which an export is found again.
        parity: how far the export is from PyTorch's model.
    """

    facts: ImageModelFacts
    size: list[PositiveInt] = Field(min_length=2, max_length=2)
    model_sha256: str
    parity: ImageParity

    def list_graph_names(self) -> tuple[str, ...]:
        """Return the name of the one graph."""
        return (IMAGE_GRAPH,)
