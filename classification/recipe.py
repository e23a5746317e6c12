"""The recipe of a classification training."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from engine.recipe import Recipe


class ClassificationRecipe(Recipe):
    """Adds the input size, the pooling and the regularisation of the classifier to a recipe.

    Attributes:
        img_size: side of the square input, pixels.
        pool: ``avg`` is the mean of the patch tokens, then ``fc_norm``; ``token`` the class token.
        drop_path: stochastic depth of the last block; rises linearly over the blocks.
        label_smoothing: of the training loss.
        shift: largest random translation, as a share of the side.
    """

    img_size: PositiveInt
    pool: Literal["avg", "token"] = "avg"
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    shift: float = Field(default=0.0, ge=0, le=0.5)
