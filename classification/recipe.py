"""The settings of classification protocols: fine-tuning, and probes on frozen features. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from engine.recipe import ProtocolSettings, StrictConfig, TrainingRecipe
from engine.settings.setting_types import (
    MAX_LISTED,
    BatchSize,
    Count,
    CountOrZero,
    DistillTemperature,
    Fraction,
    LayerDecay,
    LearningRate,
    PathText,
    Side,
    VoteTemperature,
    Weight,
    WorkerCount,
)

TrainSplits = Literal["train", "train+val"]


class SearchSpace(StrictConfig):
    """Settings that are tried in all combinations. Each combination is a training; val decides between them.

    The papers search over learning rate and layer decay (papers' appendix).

    Attributes:
        lr: learning rates to try; an empty list keeps the recipe's own.
        layer_decay: layer decays to try; an empty list keeps the recipe's own.
    """

    lr: list[LearningRate] = Field(default_factory=list, max_length=MAX_LISTED)
    layer_decay: list[LayerDecay] = Field(default_factory=list, max_length=MAX_LISTED)


class ClassificationRecipe(TrainingRecipe):
    """Adds the input size, the pooling and the regularization of the classifier to a training recipe.

    Attributes:
        img_size: side of the square input, pixels.
        pool: ``avg`` takes the mean of the patch tokens and then ``fc_norm``; ``token`` takes the class token.
        drop_path: drop-path rate (stochastic depth) of the last block, 0 to below 1; it rises linearly over the blocks.
        fresh_norm: start the final norm of a Swin or a Hiera at 1 and 0, whatever the weights have; a plain ViT has
            ``fc_norm``, which starts anew in any case.
        beit_init: start models with tables of relative positions (``*_rpe``) like BEiT, as MAE-Lite's code does;
            nothing for any other model.
        label_smoothing: label smoothing of the training loss, 0 to below 1.
        train_on: ``train`` trains on train and chooses the epoch on val (and the settings of ``search``). ``train+val``
            trains on both splits and takes the last epoch; if there is a search, it first runs on train, with val to
            choose, and only the last training uses both.
        search: settings that val decides between.
    """

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"fresh_norm": False, "beit_init": False}

    img_size: Side
    pool: Literal["avg", "token"] = "avg"
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    fresh_norm: bool = False
    beit_init: bool = False
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    train_on: TrainSplits = "train"
    search: SearchSpace = SearchSpace()

    @model_validator(mode="after")
    def _check_searched_rates(self) -> ClassificationRecipe:
        if self.search.lr and self.schedule.warmup_start > min(self.search.lr):
            raise ValueError(
                f"schedule.warmup_start {self.schedule.warmup_start:g} must not be above the lowest rate of search.lr, "
                f"{min(self.search.lr):g}"
            )
        return self

    @property
    def draws_per_piece(self) -> bool:
        """Whether each micro-batch draws random numbers of its own."""
        return self.drop_path > 0

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name."""
        idle, search = super().explain_idle_settings(), self.search
        # what is searched replaces the setting, and a heading with both would name a rate that nothing was trained with
        if search.lr:
            idle["optimizer.lr"] = "search.lr lists the rates that are tried (search.lr=[] trains with this one alone)"
        if search.layer_decay:
            idle["optimizer.layer_decay"] = (
                "search.layer_decay lists the decays that are tried (search.layer_decay=[] trains with this one alone)"
            )
            idle.pop("optimizer.swin_layers", None)
            if all(decay == 1 for decay in search.layer_decay):
                idle["optimizer.swin_layers"] = "there is no layer decay (search.layer_decay)"
        return idle


class DigitsRecipe(ClassificationRecipe):
    """Adds the augmentation of the digits.

    Attributes:
        shift: largest random translation of a training image, as a fraction of the side (0 to 0.5).
    """

    shift: float = Field(default=0.0, ge=0, le=0.5)


class ImageRecipe(ClassificationRecipe):
    """Adds the augmentation of photographs; timm does all of it.

    Attributes:
        crop_pct: evaluation resizes the shorter side to ``img_size / crop_pct`` (bicubic) and crops the center.
        scale: smallest and largest fraction of the area that a random resized crop takes. Even [1, 1] crops, because
            the aspect ratio is drawn from 3/4 to 4/3.
        flip: probability of a horizontal flip.
        rand_augment: timm's RandAugment string, such as ``rand-m9-mstd0.5-inc1``, or ``None``.
        erase: probability of random erasing (the area is filled with noise).
        mixup: alpha of mixup; 0 is off. If both are on, each batch takes one of them at random.
        cutmix: alpha of CutMix; 0 is off.
    """

    crop_pct: float = Field(default=0.875, gt=0, le=1)
    scale: list[Fraction] = Field(default=[0.08, 1.0], min_length=2, max_length=2)
    flip: float = Field(default=0.5, ge=0, le=1)
    rand_augment: str | None = Field(default=None, max_length=200)
    erase: float = Field(default=0.0, ge=0, le=1)
    mixup: float = Field(default=0.0, ge=0, le=1000)
    cutmix: float = Field(default=0.0, ge=0, le=1000)

    @model_validator(mode="after")
    def _check_mixup_batches(self) -> ImageRecipe:
        # timm mixes image i with image n - 1 - i of the (micro-)batch, so n must be even in every batch
        if (self.mixup or self.cutmix) and not (self.drop_last and self.batch_size % (2 * self.accumulate) == 0):
            raise ValueError(
                "mixup and cutmix pair the images of a batch (of a micro-batch, with accumulate), so each must have an "
                "even number; set drop_last=true and a batch_size that is a multiple of 2 * accumulate"
            )
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(
                f"scale {self.scale} is not a range of fractions of the area; give two rising values up to 1"
            )
        return self

    @property
    def draws_per_piece(self) -> bool:
        """Whether each micro-batch draws random numbers of its own; mixup also pairs its images only."""
        return super().draws_per_piece or self.mixup > 0 or self.cutmix > 0

    @property
    def needs_complete_batches(self) -> bool:
        """Whether a set that is smaller than one batch is refused: it may have an odd number, which has no pairs."""
        return self.mixup > 0 or self.cutmix > 0


class DistillConfig(StrictConfig):
    """How a student learns from a teacher's answers: DeiT's loss (Touvron et al. 2021), as MAE-Lite fine-tunes with it.

    Attributes:
        kind: ``hard`` takes the class that the teacher finds most likely as a label; ``soft`` takes its probabilities.
        alpha: weight of the teacher's part of the loss, above 0 to 1; the labels' part has 1 - alpha. With
            ``class_token`` below 1, because each part trains a classifier of its own.
        tau: temperature of both probabilities of ``soft``, 0.01 to 100.
        class_token: give the class token a classifier of its own, which learns from the teacher, while the mean of the
            patch tokens learns from the labels; the mean of both outputs is tested. If ``False``, one classifier learns
            from both.
    """

    kind: Literal["hard", "soft"] = "hard"
    alpha: float = Field(default=0.5, gt=0, le=1)
    tau: DistillTemperature = 1.0
    class_token: bool = True

    @model_validator(mode="after")
    def _check_parts(self) -> DistillConfig:
        if self.kind == "hard" and self.tau != 1:
            raise ValueError("tau is the temperature of kind=soft, and a hard label has none; leave it at 1")
        if self.class_token and self.alpha == 1:
            raise ValueError(
                "with class_token the classifier of the labels would learn nothing at alpha=1, and half of the answer "
                "would be random; set alpha below 1, or class_token=false"
            )
        return self


class DistillRecipe(ImageRecipe):
    """Adds a teacher, whose answers for the same augmented and mixed images are learned besides the labels.

    Attributes:
        teacher: name of the teacher, registry name or ``timm/<name>``; ``None`` where the file of the protocol names
            none, and the user has to.
        teacher_checkpoint: weights of the teacher in place of its own: a file, or the folder of a fine-tuning run.
            Their content is part of a run's id, and not where they lie.
        distill: the loss.
    """

    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = ImageRecipe.NON_IDENTITY_FIELDS | {"teacher_checkpoint"}

    teacher: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    teacher_checkpoint: PathText | None = None
    distill: DistillConfig = DistillConfig()

    @model_validator(mode="after")
    def _check_free_token(self) -> DistillRecipe:
        if self.distill.class_token and self.pool != "avg":
            raise ValueError(
                "distill.class_token gives the class token to the teacher's classifier, so the labels' classifier "
                "cannot read it; set pool=avg, or distill.class_token=false"
            )
        return self

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name."""
        idle = super().explain_idle_settings()
        if self.distill.alpha == 1:
            idle["label_smoothing"] = "no label is learned (distill.alpha=1)"
        return idle


class FrozenRecipe(ProtocolSettings):
    """The settings that all protocols on frozen features share; the backbone runs without augmentation.

    Attributes:
        img_size: side of the square input, pixels.
        pool: ``avg`` takes the mean of the patch tokens and then ``fc_norm``; ``token`` takes the class token.
        crop_pct: the shorter side is resized to ``img_size / crop_pct`` (bicubic) and the center is cropped; 1 for data
            sets of small square images.
        batch_size: number of images in one forward pass; it moves only the last bits of the features.
        workers: number of loader processes.
        runtime: what computes the features. ``openvino`` is faster on CPUs and needs the extra ``deploy``; it sums in
            another order, so its numbers stand on a board of their own.
        precision: ``f32``, or ``bf16`` with ``openvino`` on a CPU that has it: products with 8 bits of mantissa.
    """

    # neither can change the number, apart from last bits
    NON_IDENTITY_FIELDS: ClassVar[frozenset[str]] = frozenset({"batch_size", "workers"})
    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"runtime": "torch", "precision": "f32"}

    img_size: Side
    pool: Literal["avg", "token"] = "avg"
    crop_pct: float = Field(default=1.0, gt=0, le=1)
    batch_size: BatchSize = 256
    workers: WorkerCount = 0
    runtime: Literal["torch", "openvino"] = "torch"
    precision: Literal["f32", "bf16"] = "f32"

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name."""
        idle = super().explain_idle_settings()
        if self.runtime == "torch":
            idle["precision"] = "PyTorch computes features in f32 (add --set runtime=openvino)"
        return idle


class KnnRecipe(FrozenRecipe):
    """k-NN: the nearest training images vote, each with weight exp(cosine similarity / ``temperature``).

    Attributes:
        train_on: the splits whose images vote.
        k: number of nearest images that vote; at most all images of ``train_on``.
        temperature: the lower, the more the nearest images dominate the vote; 1e-4 to 1e4.
    """

    train_on: TrainSplits = "train"
    k: Count = 20
    temperature: VoteTemperature = 0.07


class LogGrid(StrictConfig):
    """Values that are evenly spaced on a logarithmic scale.

    Attributes:
        low: smallest value; 1e-12 or above.
        high: largest value; 1e12 or below.
        count: number of values, 1 to 1000.
    """

    # Far beyond these bounds the arithmetic gives out (high / low overflows, 1 / C is infinite), and every value of
    # such a grid would be the same classifier.
    low: float = Field(ge=1e-12, le=1e12)
    high: float = Field(ge=1e-12, le=1e12)
    count: int = Field(ge=1, le=1000)

    @model_validator(mode="after")
    def _check_bounds(self) -> LogGrid:
        if self.low > self.high or (self.count == 1 and self.low != self.high):
            raise ValueError(
                f"low {self.low} to high {self.high} in {self.count} values is not a grid; low must not be above high, "
                "and one value needs low equal to high"
            )
        return self

    def values(self) -> list[float]:
        """Return the values, from the smallest to the largest.

        >>> [round(value, 6) for value in LogGrid(low=0.01, high=1.0, count=3).values()]
        [0.01, 0.1, 1.0]
        """
        if self.count == 1:  # count - 1 below would divide by zero
            return [self.low]
        steps = [position / (self.count - 1) for position in range(self.count)]
        # low * (high / low) ** t for t from 0 to 1 is a straight line in the logarithm
        return [float(self.low * (self.high / self.low) ** step) for step in steps]


class LogisticRecipe(FrozenRecipe):
    """Logistic regression with an L2 penalty on standardized features; val chooses the regularization.

    Attributes:
        grid: values of scikit-learn's ``C`` to try; a larger ``C`` is a weaker regularization.
        tolerance: a fit has converged when no entry of the gradient of the mean loss is larger than this; 1e-12 to
            1e-2.
        max_iterations: limit of L-BFGS iterations for each value of ``C``.
    """

    grid: LogGrid
    # above 1e-2 a fit would count as converged where it starts
    tolerance: float = Field(default=1e-5, ge=1e-12, le=1e-2)
    max_iterations: Count = 2000


class LinearRecipe(LogisticRecipe):
    """Linear probe by logistic regression.

    Attributes:
        train_on: with ``train+val``, the ``C`` chosen on val is fitted once more on both splits.
    """

    train_on: TrainSplits = "train"


class HeadOptimizerConfig(StrictConfig):
    """How ``linear_sgd`` trains: linear warm-up, then a cosine to 0, updated every iteration.

    Attributes:
        name: ``LARS`` (You et al. 2017) adapts the learning rate of the weights, but not of the biases; ``SGD`` does
            not adapt it.
        lr: base learning rates to try, for 256 images: the learning rate is base * batch / 256.
        batch_size: images of one step; at most all training items.
        epochs: length of the training.
        warmup: epochs of linear warm-up.
        momentum: momentum, 0 to below 1.
        weight_decay: weight decay of the weights; biases are not decayed.
        trust: trust coefficient of LARS, 1e-6 to 1.
    """

    name: Literal["LARS", "SGD"]
    lr: LogGrid
    batch_size: BatchSize
    epochs: Count = 90
    warmup: CountOrZero = 10
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: Weight = 0.0
    trust: float = Field(default=0.001, ge=1e-6, le=1)

    @model_validator(mode="after")
    def _check_warmup(self) -> HeadOptimizerConfig:
        if self.warmup >= self.epochs:
            raise ValueError(f"warmup {self.warmup} must be below epochs {self.epochs}")
        return self

    def get_batch_size_for(self, num_items: int) -> int:
        """Return the actual batch size for a number of training items; the learning rate is scaled by it."""
        return min(self.batch_size, num_items)


class LinearSgdRecipe(FrozenRecipe):
    """A linear layer behind a batch norm without parameters; val chooses the learning rate.

    Attributes:
        optimizer: how the layer is trained.
        train_on: with ``train+val``, the layer is trained once more on both splits with the rate chosen on val.
    """

    optimizer: HeadOptimizerConfig
    train_on: TrainSplits = "train"


class LowShotRecipe(LogisticRecipe):
    """Logistic regression on few training items, drawn several times. Set exactly one of ``shots`` and ``percent``.

    Attributes:
        shots: number of training items per class.
        percent: percentage of the training items of each class; at least one item is taken.
        draws: how often the items are drawn; the score is the mean over the draws.
    """

    shots: Count | None = None
    percent: float | None = Field(default=None, ge=1e-6, le=100)
    draws: int = Field(default=5, ge=1, le=1000)

    @model_validator(mode="after")
    def _check_shots_or_percent(self) -> LowShotRecipe:
        if (self.shots is None) == (self.percent is None):
            raise ValueError("set exactly one of shots and percent, the other to none")
        return self
