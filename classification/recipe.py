"""The recipes of classification protocols: fine-tuning, and what is read off frozen features."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from engine.recipe import ProtocolSettings, StrictConfig, TrainingRecipe

TrainSplits = Literal["train", "train+val"]


class SearchSpace(StrictConfig):
    """Settings that are tried in all combinations, each a training of its own, and chosen between on val.

    Empty lists: the recipe's own value. The papers search over rate and layer decay (papers' appendix).
    """

    lr: list[PositiveFloat] = Field(default_factory=list)
    layer_decay: list[PositiveFloat] = Field(default_factory=list)


class ClassificationRecipe(TrainingRecipe):
    """Adds the input size, the pooling and the regularisation of the classifier to a recipe.

    Attributes:
        img_size: side of the square input, pixels.
        pool: ``avg`` is the mean of the patch tokens, then ``fc_norm``; ``token`` the class token.
        drop_path: stochastic depth of the last block; rises linearly over the blocks.
        label_smoothing: of the training loss.
        train_on: ``train`` chooses the epoch (and what ``search`` holds) on val. ``train+val`` trains on both and takes
            the last epoch, with the settings that a search on train and val has found, if there is one.
        search: settings that val decides between.
    """

    img_size: PositiveInt
    pool: Literal["avg", "token"] = "avg"
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    train_on: TrainSplits = "train"
    search: SearchSpace = SearchSpace()


class DigitsRecipe(ClassificationRecipe):
    """``shift``: largest random translation, as a share of the side."""

    shift: float = Field(default=0.0, ge=0, le=0.5)


class ImageRecipe(ClassificationRecipe):
    """Adds the augmentation of photographs, all of it timm's.

    Attributes:
        crop_pct: evaluation resizes the shorter side to ``img_size / crop_pct`` (bicubic) and crops the centre.
        scale: smallest and largest share of the area that a random resized crop takes; [1, 1] with
            ``flip`` 0 still crops (aspect ratio 3/4 to 4/3).
        flip: probability of a horizontal flip.
        rand_augment: timm's description, as ``rand-m9-mstd0.5-inc1``, or ``None``.
        erase: probability of random erasing with noise.
        mixup, cutmix: alpha of either, 0 is off; with both on each batch takes one of them at random.
    """

    crop_pct: float = Field(default=0.875, gt=0, le=1)
    scale: list[float] = Field(default=[0.08, 1.0], min_length=2, max_length=2)
    flip: float = Field(default=0.5, ge=0, le=1)
    rand_augment: str | None = None
    erase: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _check_mixup_batches(self) -> ImageRecipe:
        if (self.mixup or self.cutmix) and not (self.drop_last and self.batch_size % (2 * self.accumulate) == 0):
            raise ValueError(
                "mixup and cutmix pair the images of a batch (of a piece, with accumulate): "
                "set drop_last=true and a batch_size that gives even ones"
            )
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale {self.scale} is no range of shares of the area")
        return self


class FrozenRecipe(ProtocolSettings):
    """What every protocol on frozen features has; the backbone runs in fp32, without augmentation.

    Attributes:
        img_size: side of the square input, pixels.
        pool: ``avg`` is the mean of the patch tokens, then ``fc_norm``; ``token`` the class token.
        batch_size: images in one forward pass (moves last bits only).
        workers: loader processes.
        crop_pct: the shorter side is resized to ``img_size / crop_pct`` (bicubic) and the centre cropped; 1 for sets
            whose images are square and small.
    """

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = frozenset({"batch_size", "workers"})

    img_size: PositiveInt
    pool: Literal["avg", "token"] = "avg"
    crop_pct: float = Field(default=1.0, gt=0, le=1)
    batch_size: PositiveInt = 256
    workers: NonNegativeInt = 0


class KnnRecipe(FrozenRecipe):
    """Weighted vote of the ``k`` nearest by cosine, each with weight exp(similarity / ``temperature``).

    ``train_on``: who votes.
    """

    train_on: TrainSplits = "train"
    k: PositiveInt = 20
    temperature: PositiveFloat = 0.07


class LogGrid(StrictConfig):
    """``count`` values, evenly spaced in the logarithm."""

    low: PositiveFloat
    high: PositiveFloat
    count: PositiveInt

    @model_validator(mode="after")
    def _check_bounds(self) -> LogGrid:
        if self.low > self.high or (self.count == 1 and self.low != self.high):
            raise ValueError(f"low {self.low} to high {self.high} in {self.count} values is no grid")
        return self

    def values(self) -> list[float]:
        """The values, rising.

        >>> [round(value, 6) for value in LogGrid(low=0.01, high=1.0, count=3).values()]
        [0.01, 0.1, 1.0]
        """
        if self.count == 1:
            return [self.low]
        steps = [position / (self.count - 1) for position in range(self.count)]
        return [float(self.low * (self.high / self.low) ** step) for step in steps]


class LogisticRecipe(FrozenRecipe):
    """L2 logistic regression on standardised features, its strength chosen on val.

    Attributes:
        grid: strengths tried: scikit-learn's ``C``, larger is weaker regularisation.
        tolerance: largest entry of the mean loss's gradient at which a fit is done.
        max_iterations: of L-BFGS, for each strength.
    """

    grid: LogGrid
    tolerance: PositiveFloat = 1e-5
    max_iterations: PositiveInt = 2000


class LinearRecipe(LogisticRecipe):
    """``train_on``: with ``train+val`` the strength chosen on val is fitted again on both."""

    train_on: TrainSplits = "train"


class HeadOptimizerConfig(StrictConfig):
    """How ``linear_sgd`` trains: linear warm-up, then cosine to 0, stepped every iteration.

    Attributes:
        name: ``LARS`` (You et al. 2017) adapts the rate of the weights, not of the biases.
        lr: base rates tried, for 256 images: the rate is base * batch / 256.
        batch_size: of one step; no more than the training items.
        epochs, warmup: lengths.
        weight_decay: of the weights, not of the biases.
        trust: LARS's coefficient.
    """

    name: Literal["LARS", "SGD"]
    lr: LogGrid
    batch_size: PositiveInt
    epochs: PositiveInt = 90
    warmup: NonNegativeInt = 10
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: NonNegativeFloat = 0.0
    trust: PositiveFloat = 0.001

    @model_validator(mode="after")
    def _check_warmup(self) -> HeadOptimizerConfig:
        if self.warmup >= self.epochs:
            raise ValueError(f"warmup {self.warmup} must be below epochs {self.epochs}")
        return self

    def get_batch_size_for(self, num_items: int) -> int:
        """The batch as it is with so many training items; the rule of the rates goes by it."""
        return min(self.batch_size, num_items)


class LinearSgdRecipe(FrozenRecipe):
    """A linear layer behind a batch norm without parameters, its rate chosen on val.

    ``train_on``: with ``train+val`` the rate chosen on val trains anew on both.
    """

    optimizer: HeadOptimizerConfig
    train_on: TrainSplits = "train"


class LowShotRecipe(LogisticRecipe):
    """Logistic regression on few training items, drawn several times; exactly one of ``shots`` and ``percent``.

    Attributes:
        shots: training items a class.
        percent: share of the training items of each class, at least one.
        draws: how often the items are drawn; the number is the mean.
    """

    shots: PositiveInt | None = None
    percent: float | None = Field(default=None, gt=0, le=100)
    draws: PositiveInt = 5

    @model_validator(mode="after")
    def _check_shots_or_percent(self) -> LowShotRecipe:
        if (self.shots is None) == (self.percent is None):
            raise ValueError("set exactly one of shots and percent, the other to none")
        return self
