"""Layer-wise learning-rate decay for ``BenchBackbone`` in an mmseg configuration outside of ``bench``.

mmseg's own ``LearningRateDecayOptimizerConstructor`` knows the layers of a few classes by their names and raises a bare
NotImplementedError for every other backbone.
"""

from __future__ import annotations

from typing import Any, ClassVar

from mmengine.optim import DefaultOptimWrapperConstructor
from pydantic import ValidationError
from torch import nn

from engine.optimizer import group_by_depth
from engine.recipe import OptimizerConfig
from foundation.errors import ConfigError
from results.records.strict_model import format_validation_errors
from segmentation.models.mmseg_imports import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()  # type: ignore[untyped-decorator,unused-ignore]
class BenchLayerDecayConstructor(DefaultOptimWrapperConstructor):  # type: ignore[misc,unused-ignore]
    """Builds the parameter groups of bench's own protocols: the deeper a layer, the higher its learning rate.

    Neck and heads get the optimizer's ``lr``, the last block ``lr * layer_decay``, the one before it that times
    ``layer_decay`` and so on. One-dimensional parameters, position embeddings and class tokens have no weight decay.

    ``paramwise_cfg`` takes ``layer_decay`` (above 0, up to 1) and, if the backbone needs another rate than the heads,
    ``backbone_scale`` (a factor).
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("layer_decay", "backbone_scale")

    def add_params(self, params: list[dict[str, Any]], module: nn.Module, **kwargs: Any) -> None:
        """Append the groups of a segmentor to a list.

        Args:
            params: the list.
            module: the segmentor, whose ``backbone`` is a ``BenchBackbone``.
            kwargs: part of mmengine's interface; not used here.

        Raises:
            ConfigError: a setting that this constructor does not have, which would have no effect.
        """
        settings: dict[str, Any] = dict(self.paramwise_cfg or {})
        if strange := sorted(settings.keys() - set(self.SETTINGS)):
            raise ConfigError(
                f"paramwise_cfg of BenchLayerDecayConstructor takes {' and '.join(self.SETTINGS)}, not "
                f"{', '.join(strange)}; the number of layers follows from the backbone"
            )
        # the group's own lr and weight decay replace the optimizer's; its other arguments stay as they are
        content = {"name": "AdamW", "lr": self.base_lr, "weight_decay": self.base_wd or 0.0, **settings}
        try:
            setting = OptimizerConfig.model_validate(content)
        except ValidationError as error:
            raise ConfigError(f"optim_wrapper is invalid: {format_validation_errors(error)}") from error
        params.extend(group_by_depth(module, setting))
