"""The recipes of the pre-training methods. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from engine.recipe import StrictConfig, TrainingRecipe
from engine.settings.setting_types import (
    Channels,
    Count,
    CountOrZero,
    Depth,
    Fraction,
    LayerIndex,
    PositiveWeight,
    Side,
    VoteTemperature,
    Weight,
)

Interpolation = Literal["bicubic", "bilinear", "random"]
Resizer = Literal["pillow", "torch"]


class KnnMonitorSettings(StrictConfig):
    """A k-NN classification at intervals, on training images only; it shows whether the features become useful.

    Attributes:
        interval: epochs (or iterations) between two checks; 0 for one at the end only. A multiple of ``val_interval``.
        bank_size: number of images that vote.
        num_queries: number of images that are classified.
        k: number of neighbors that vote; at most the images that vote.
        temperature: of the votes' weights, 1e-4 to 1e4.
    """

    interval: CountOrZero = 0
    bank_size: Count = 2000
    num_queries: Count = 500
    k: Count = 20  # k and temperature as in DINO's evaluation, see engine.knn
    temperature: VoteTemperature = 0.07


class PretrainRecipe(TrainingRecipe):
    """Adds the settings of input, running average and health check to a training recipe.

    Attributes:
        img_size: side of the square input, pixels; ``None`` for the input size of the backbone's card.
        scale: smallest and largest fraction of the image area that a random resized crop takes.
        interpolation: how crops are resized; ``random`` draws bilinear or bicubic for each crop, as timm's loaders do.
        resize: what resizes the crops of image files: ``pillow`` as the published recipes do, or ``torch``, which is
            four times as fast and gives slightly different pixels.
        flip: probability of a horizontal flip.
        ema: decay of a running average of the encoder, which is then exported instead of the encoder; ``None`` for no
            average.
        knn_monitor: the k-NN check; data without labels are not checked.
    """

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"interpolation": "bicubic", "resize": "pillow"}

    img_size: Side | None = None
    scale: list[Fraction] = Field(default=[0.2, 1.0], min_length=2, max_length=2)
    interpolation: Interpolation = "bicubic"
    resize: Resizer = "pillow"
    flip: Fraction = 0.5
    ema: float | None = Field(default=None, gt=0, lt=1)
    knn_monitor: KnnMonitorSettings = KnnMonitorSettings()

    @property
    def needs_complete_batches(self) -> bool:
        """Whether a set that is smaller than one batch is refused.

        Batches are large, and the rate and MoCo-v3's negatives are for all of them; one that fits the set is better.
        """
        return self.drop_last

    @model_validator(mode="after")
    def _check_ranges(self) -> PretrainRecipe:
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale {self.scale} is not a range of fractions of the area")
        if self.knn_monitor.k > self.knn_monitor.bank_size:
            raise ValueError(
                f"knn_monitor.k {self.knn_monitor.k} is above knn_monitor.bank_size {self.knn_monitor.bank_size}; only "
                "images of the bank can vote"
            )
        # the check is part of a row of the curve, and rows are written every val_interval
        if self.knn_monitor.interval % self.val_interval:
            raise ValueError(
                f"knn_monitor.interval {self.knn_monitor.interval} must be a multiple of val_interval "
                f"{self.val_interval}"
            )
        return self


class DecoderShape(StrictConfig):
    """Size of the decoder (defaults: table 1.1 of the papers' small ViTs).

    Attributes:
        width: channels; ``None`` for half the width of the encoder.
        depth: number of blocks.
        heads: attention heads; ``None`` for one head per 32 channels.
    """

    width: Channels | None = None
    depth: Depth = 1
    heads: Channels | None = None


class MaskedRecipe(PretrainRecipe):
    """Recipe of masked autoencoding.

    Attributes:
        mask_ratio: fraction of the patches (Hiera: of the mask units) that the encoder does not see.
        norm_pix: normalize the target pixels by the mean and unbiased variance of their own patch.
        positions: position embeddings of encoder and decoder: ``fixed`` sines and cosines, or ``learned``.
        visible_loss: weight of the loss on visible patches; 0 as in MAE.
        decoder: size of the decoder.
    """

    mask_ratio: float = Field(default=0.75, gt=0, lt=1)
    norm_pix: bool = True
    positions: Literal["fixed", "learned"] = "fixed"
    visible_loss: Weight = 0.0
    decoder: DecoderShape = DecoderShape()


class Distillation(StrictConfig):
    """Which layers of the student are matched with which layers of its teacher; layers are counted from 1.

    If no layers of the teacher are named, layer ``s`` of a student of depth ``S`` is matched with layer
    ``round(s T / S)`` of a teacher of depth ``T`` (halves are rounded up), so the last layers are matched.

    Attributes:
        attention: weight of the loss on attention logits, which is the sum over the matched layers.
        attention_layers: layers of the student; empty for its last layer.
        attention_targets: layers of the teacher, one per layer of the student; empty for the rule above.
        hidden: weight of the loss on hidden states, which is the sum over the matched states.
        hidden_layers: hidden states of the student. State 0 is the input of the first block, state l the output of
            block l, each after the next norm layer of the network. Empty for the last state.
        hidden_targets: hidden states of the teacher, one per state of the student; empty for the rule above.
    """

    attention: Weight = 1.0
    attention_layers: list[Depth] = Field(default_factory=list, max_length=100)
    attention_targets: list[Depth] = Field(default_factory=list, max_length=100)
    hidden: Weight = 0.0
    hidden_layers: list[LayerIndex] = Field(default_factory=list, max_length=100)
    hidden_targets: list[LayerIndex] = Field(default_factory=list, max_length=100)

    @model_validator(mode="after")
    def _check_targets(self) -> Distillation:
        for name in ("attention", "hidden"):
            layers, targets = getattr(self, f"{name}_layers"), getattr(self, f"{name}_targets")
            if targets and len(targets) != len(layers):
                raise ValueError(f"{name}_targets names {len(targets)} layers for {len(layers)} layers of the student")
        if not (self.attention or self.hidden):
            raise ValueError("attention and hidden are both 0, so nothing is distilled; run method mae for that")
        return self


class DistillRecipe(MaskedRecipe):
    """Recipe of masked autoencoding with a teacher; ``distill`` says what is matched."""

    distill: Distillation = Distillation()

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name."""
        idle = super().explain_idle_settings()
        for name in ("attention", "hidden"):
            if getattr(self.distill, name) == 0:  # layers are named in vain where their loss has no weight
                reason = f"distill.{name}, the weight of that loss, is 0"
                idle |= {f"distill.{name}_layers": reason, f"distill.{name}_targets": reason}
        return idle


class DecoupledRecipe(DistillRecipe):
    """Recipe of the decoupled distillation.

    Attributes:
        decode_layer: the block (from 1) whose output the decoder reads; ``None`` for two thirds of the depth (8 of 12).
    """

    decode_layer: Depth | None = None


class SimmimRecipe(PretrainRecipe):
    """Recipe of SimMIM.

    Attributes:
        mask_ratio: fraction of the mask units that are masked; their number is rounded up.
        mask_patch_size: side of a mask unit, pixels.
        decoder: what follows the norm: ``block`` is MAE-Lite's linear layer, Swin block and 1x1 convolution, ``conv``
            one 1x1 convolution as in SimMIM's own code.
        decoder_width: channels of the decoder's block.
        drop_path: drop-path rate (stochastic depth) of the encoder's last block; it rises linearly over the blocks.
    """

    # the values are those before there was a choice
    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"decoder": "conv", "decoder_width": 96, "drop_path": 0.0}

    mask_ratio: float = Field(default=0.6, gt=0, lt=1)
    mask_patch_size: Side = 32
    decoder: Literal["conv", "block"] = "conv"
    decoder_width: Channels = 96
    drop_path: float = Field(default=0.0, ge=0, lt=1)

    @property
    def draws_per_piece(self) -> bool:
        """Whether each micro-batch draws random numbers of its own."""
        return self.drop_path > 0

    def explain_idle_settings(self) -> dict[str, str]:
        """Return why some settings have no effect beside the others, by dotted name."""
        no_block = {"decoder_width": "decoder=conv has no block"} if self.decoder == "conv" else {}
        return super().explain_idle_settings() | no_block


class SimmimDistillRecipe(SimmimRecipe):
    """Recipe of SimMIM with decoupled distillation.

    Attributes:
        attention: weight of the loss on attention logits.
        decoder: always the one with a block.
    """

    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"decoder": "block"}

    decoder: Literal["block"] = "block"
    attention: PositiveWeight = 1.0


class ColorAugmentation(StrictConfig):
    """The color part of the two-crop augmentation; a pair of values is for the first and the second crop.

    Attributes:
        jitter: strengths of brightness, contrast, saturation and hue.
        jitter_p: probability of the color jitter.
        grayscale_p: probability of converting to gray.
        blur_p: probabilities of a Gaussian blur. Its sigma is 0.1 to 2.0 pixels at 224 px, in proportion at other
            sizes.
        solarize_p: probabilities of inverting all values from one half upward.
    """

    jitter: list[Annotated[float, Field(ge=0, le=10)]] = Field(default=[0.4, 0.4, 0.2, 0.1], min_length=4, max_length=4)
    jitter_p: Fraction = 0.8
    grayscale_p: Fraction = 0.2
    blur_p: list[Fraction] = Field(default=[1.0, 0.1], min_length=2, max_length=2)
    solarize_p: list[Fraction] = Field(default=[0.0, 0.2], min_length=2, max_length=2)

    @model_validator(mode="after")
    def _check_hue(self) -> ColorAugmentation:
        # half a turn around the circle of colors, beyond which every hue was reached already
        if self.jitter[3] > 0.5:
            raise ValueError(f"the fourth value of jitter, {self.jitter[3]:g}, is above 0.5, the largest change of hue")
        return self


class MocoRecipe(PretrainRecipe):
    """Recipe of MoCo-v3.

    Attributes:
        temperature: of the contrastive loss, 1e-3 to 1e3.
        momentum: of the momentum encoder at the start; it rises to 1 like a cosine.
        hidden_dim: width of the hidden layers of projector and predictor.
        out_dim: width of the compared features.
        freeze_patch_embed: do not train the patch projection.
        color_augmentation: the color augmentation.
    """

    # Unlike in other recipes ``accumulate`` is part of the identity: micro-batches would have other negatives and other
    # batch statistics than the complete batch.
    NON_IDENTITY_FIELDS = frozenset({"workers", "loggers"})

    scale: list[Fraction] = Field(default=[0.08, 1.0], min_length=2, max_length=2)
    temperature: float = Field(default=0.2, ge=1e-3, le=1e3)
    momentum: float = Field(default=0.99, ge=0, lt=1)
    hidden_dim: Channels = 4096
    out_dim: Channels = 256
    freeze_patch_embed: bool = False
    color_augmentation: ColorAugmentation = ColorAugmentation()
