"""Segment an image as a config of mmsegmentation says: its own transforms, and its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from foundation.errors import UserError
from segmentation.as_is.finished_model import PreparedImage
from segmentation.as_is.mmseg_config import MmsegConfig, get_step_name
from segmentation.models.mmseg_imports import BaseDecodeHead, EncoderDecoder, SegDataPreProcessor, SegTTAModel
from segmentation.models.pixel_classes import PixelClasses
from segmentation.models.sliding_window import WindowSettings

FOLLOWED_STEPS = ("LoadImageFromFile", "Resize", "ResizeShortestEdge", "ResizeToMultiple", "PackSegInputs")
"""Steps after which the model's input is the complete image at another size, and nothing else has to be undone."""

_OWN_METHODS = ("encode_decode", "predict", "inference", "slide_inference", "whole_inference", "postprocess_result")


class MmsegInference:
    """Segments image files with a model of mmsegmentation.

    Where the model is an ``EncoderDecoder`` with a plain head, bench computes what mmseg's code computes, piece by
    piece, in little memory. Everything else (cascades, query decoders, padding, flips, several scales) goes through
    mmseg's own code.

    Args:
        model: the model, with its weights.
        config: its config.

    Attributes:
        is_followed: whether bench computes it.
        windows: how an image is cut into windows.
    """

    def __init__(self, model: nn.Module, config: MmsegConfig) -> None:
        self.model = model
        steps = _drop_annotations(config.pipeline)
        self.step_names = [get_step_name(step) for step in steps]
        self.has_augmentation = "TestTimeAug" in self.step_names
        with DefaultScope.overwrite_default_scope("mmseg"):
            try:
                self.pipeline = Compose(steps)
            except Exception as error:  # whatever a transform of a user raises
                raise UserError(f"the test pipeline of {config.path} cannot be built ({error}); fix it") from error
        test: Any = getattr(model, "test_cfg", None) or {}
        self.windows = WindowSettings(None)
        if test.get("mode", "whole") == "slide":
            (height, width), (down, right) = (_get_pair(config, test, name) for name in ("crop_size", "stride"))
            if down > height or right > width:
                raise UserError(
                    f"{config.path} has a stride above its crop_size, so windows would leave gaps; lower it"
                )
            # one window per forward pass, as in mmseg: the last bits depend on how many there are
            self.windows = WindowSettings((height, width), (down, right))
        self.is_followed = all(name in FOLLOWED_STEPS for name in self.step_names) and _is_plain_model(model)

    @property
    def test_mode(self) -> str:
        """How an image is segmented, in words."""
        mode = "whole"
        if self.windows.size is not None:
            sides = zip(self.windows.size, self.windows.stride, strict=True)
            numbers = [f"{side}/{stride}" for side, stride in sides]
            mode = f"slide {numbers[0] if len(set(numbers)) == 1 else ' and '.join(numbers)}"
        augmented = ", test-time augmentation" if self.has_augmentation else ""
        return f"{mode}{augmented}, the config's test pipeline, native label size"

    def describe(self) -> dict[str, Any]:
        """Return what changes the prediction besides the config's text, as plain data."""
        size, stride = self.windows.size, self.windows.stride
        windows = {"crop": list(size), "stride": list(stride)} if size is not None else {}
        return {"mode": "slide" if windows else "whole", **windows, "pipeline": self.step_names}

    def prepare_image(self, path: Path) -> PreparedImage:
        """Read an image file and take it through the pipeline.

        Args:
            path: the image.

        Raises:
            UserError: a step fails.
        """
        packed = self._run_pipeline(path)
        height, width = packed["data_samples"].metainfo["ori_shape"][:2]
        return PreparedImage(packed["inputs"], (int(height), int(width)))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalize pixels (3, h, w), uint8, on the model's device."""
        preprocess: Any = self.model.data_preprocessor
        normalized: Tensor = preprocess({"inputs": [pixels]}, False)["inputs"][0]
        return normalized

    def segment_by_itself(self, path: Path) -> PixelClasses:
        """Segment an image file by the code of mmseg's test loop.

        Args:
            path: the image.

        Raises:
            UserError: a step of the pipeline fails.
        """
        packed = self._run_pipeline(path)
        # a loader would put the items of a batch into lists
        batch: dict[str, Any] = {key: [value] for key, value in packed.items()}
        tested: Any = self.model
        # an augmented item is a list of variants already, and each variant is a batch of one
        if self.has_augmentation:
            batch = {key: [[each] for each in value] for key, value in packed.items()}
            tested = SegTTAModel(module=self.model)
        sample = tested.test_step(batch)[0]
        labels = sample.pred_sem_seg.data.squeeze(0)
        return PixelClasses(labels.to(torch.uint8), bool(torch.isfinite(sample.seg_logits.data).all()))

    def _run_pipeline(self, path: Path) -> Mapping[str, Any]:
        try:
            # what mmseg's data sets put there besides the path
            packed: Any = self.pipeline({"img_path": str(path), "seg_fields": [], "reduce_zero_label": False})
        except Exception as error:  # whatever a transform raises
            reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
            raise UserError(f"the config's test pipeline fails on the image {path} ({reason}); fix the file") from error
        if not isinstance(packed, Mapping) or "inputs" not in packed or "data_samples" not in packed:
            raise UserError("the config's test pipeline does not end with PackSegInputs; add it")
        return packed


def _get_pair(config: MmsegConfig, test: Mapping[str, Any], name: str) -> tuple[int, int]:
    """Return a pair of numbers of ``test_cfg``, as mmseg takes them.

    Raises:
        UserError: it is no pair of positive whole numbers.
    """
    value: Any = test.get(name)
    is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(each, int) for each in value)
    if not is_pair or min(value) < 1:
        raise UserError(f"{config.path} has {name} {value!r} in test_cfg; mode slide needs two numbers, (512, 512)")
    return value[0], value[1]


def _drop_annotations(steps: Any) -> list[Any]:
    """Return the steps without those that read label files: the truth is read by bench, at its own size."""
    kept: list[Any] = []
    for step in steps:
        if isinstance(step, Mapping):
            if get_step_name(step) == "LoadAnnotations":
                continue
            inner = step.get("transforms")
            kept.append({**step, "transforms": _drop_annotations(inner)} if inner is not None else dict(step))
        elif isinstance(step, Sequence):  # the alternatives of a test-time augmentation
            if inner := _drop_annotations(step):
                kept.append(inner)
        else:
            kept.append(step)
    return kept


def _is_plain_model(model: nn.Module) -> bool:
    """Return whether a model's logits are those of one plain head, resized and averaged by mmseg's common code."""
    head: Any = getattr(model, "decode_head", None)
    return (
        isinstance(model, EncoderDecoder)
        and all(getattr(type(model), name) is getattr(EncoderDecoder, name) for name in _OWN_METHODS)
        and isinstance(head, BaseDecodeHead)
        and type(head).predict is BaseDecodeHead.predict
        and type(head).predict_by_feat is BaseDecodeHead.predict_by_feat
        and int(getattr(model, "out_channels", 0)) > 1
        and type(model.data_preprocessor) is SegDataPreProcessor
        and not model.data_preprocessor.test_cfg
    )
