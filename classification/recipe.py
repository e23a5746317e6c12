"""The recipes of classification protocols: fine-tuning, and what is read off frozen features."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from engine.recipe import Recipe, Settings, Strict


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


class FrozenRecipe(Settings):
    """What every protocol on frozen features has; the backbone runs in fp32, without augmentation.

    Attributes:
        img_size: side of the square input, pixels.
        pool: ``avg`` is the mean of the patch tokens, then ``fc_norm``; ``token`` the class token.
        batch_size: images in one forward pass (moves last bits only).
        workers: loader processes.
    """

    NEUTRAL: ClassVar[frozenset[str]] = frozenset({"batch_size", "workers"})

    img_size: PositiveInt
    pool: Literal["avg", "token"] = "avg"
    batch_size: PositiveInt = 256
    workers: NonNegativeInt = 0


class KnnRecipe(FrozenRecipe):
    """Weighted vote of the ``k`` nearest by cosine, each with weight exp(similarity / ``temperature``)."""

    k: PositiveInt = 20
    temperature: PositiveFloat = 0.07


class Grid(Strict):
    """``count`` values of scikit-learn's ``C`` (larger is weaker regularisation), evenly spaced in the logarithm."""

    low: PositiveFloat
    high: PositiveFloat
    count: PositiveInt

    @model_validator(mode="after")
    def _rises(self) -> Grid:
        if self.low > self.high or (self.count == 1 and self.low != self.high):
            raise ValueError(f"low {self.low} to high {self.high} in {self.count} values is no grid")
        return self

    def values(self) -> list[float]:
        """The values, rising: the strongest regularisation first.

        >>> [round(value, 6) for value in Grid(low=0.01, high=1.0, count=3).values()]
        [0.01, 0.1, 1.0]
        """
        if self.count == 1:
            return [self.low]
        steps = [position / (self.count - 1) for position in range(self.count)]
        return [float(self.low * (self.high / self.low) ** step) for step in steps]


class LinearRecipe(FrozenRecipe):
    """L2 logistic regression on standardised features, its strength chosen on val.

    Attributes:
        grid: strengths tried.
        tolerance: largest entry of the mean loss's gradient at which a fit is done.
        max_iterations: of L-BFGS, for each strength.
    """

    grid: Grid
    tolerance: PositiveFloat = 1e-5
    max_iterations: PositiveInt = 2000
