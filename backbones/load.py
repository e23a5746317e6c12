"""Put a checkpoint's tensors into a model and account for every one of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from foundation.errors import CheckpointError


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's tensors.

    Attributes:
        matched: tensors that went in as they are.
        resized: names (with shapes) that were resampled to fit.
        missing: names of the model's trunk that the file lacks or has in another shape.
        unexpected: names of the file that the model has no place for.
        dropped: names left out on purpose (a pre-training classifier).
        share: elements of the trunk that were loaded, 0 to 1.
        notes: whatever else a reader should know.
    """

    matched: int
    resized: list[str]
    missing: list[str]
    unexpected: list[str]
    dropped: list[str]
    share: float
    notes: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether the whole trunk was loaded."""
        return not self.missing

    def summary(self) -> str:
        """One line: the share and the counts."""
        text = f"{100 * self.share:.1f} % of the trunk loaded ({self.matched} tensors"
        for label in ("resized", "missing", "unexpected", "dropped"):
            if names := getattr(self, label):
                text += f", {len(names)} {label}"
        return text + ")"


def load_into(model: nn.Module, tensors: dict[str, Tensor], *, allow_partial: bool, source: str) -> LoadReport:
    """Load ``tensors`` into ``model`` (in place) and report.

    The trunk is everything but the classifier and, where the model pools patch tokens, the ``fc_norm`` that
    belongs to its head (the checkpoint's own final ``norm`` is then dropped).

    Args:
        model: a timm model.
        tensors: by name, as ``backbones.checkpoint`` gives them.
        allow_partial: accept a trunk that is loaded in part.
        source: the file, for messages.

    Raises:
        CheckpointError: the trunk is not loaded whole (unless ``allow_partial``), nothing of it is, or a
            tensor holds NaN or infinity. The model is then left as it was.
    """
    own = model.state_dict()
    head = _head_prefixes(model)
    trunk = {name: value for name, value in own.items() if not name.startswith(head)}
    accepted: dict[str, Tensor] = {}
    missing, unexpected, dropped = [], [], []
    for name, value in tensors.items():
        if name.startswith(head) or (name.startswith("norm.") and name not in own):
            dropped.append(name)
        elif name not in trunk:
            unexpected.append(_with_shape(name, value))
        elif value.shape == trunk[name].shape:
            accepted[name] = value
    for name, value in trunk.items():
        if name not in accepted:
            there = f", the file has {_shape(tensors[name])}" if name in tensors else ""
            missing.append(f"{_with_shape(name, value)}{there}")
    _refuse_not_finite(accepted, source)
    total = sum(value.numel() for value in trunk.values())
    share = sum(value.numel() for value in accepted.values()) / total
    report = LoadReport(len(accepted), [], missing, unexpected, dropped, share)
    if not accepted or (missing and not allow_partial):
        raise CheckpointError(_misfit(report, source))
    model.load_state_dict(accepted, strict=False)  # strict by the accounting above
    return report


def _head_prefixes(model: nn.Module) -> tuple[str, ...]:
    config = getattr(model, "pretrained_cfg", None) or {}
    classifier = config.get("classifier") or "head"
    names = [classifier] if isinstance(classifier, str) else list(classifier)
    return tuple(f"{name}." for name in (*names, "fc_norm"))


def _refuse_not_finite(tensors: dict[str, Tensor], source: str) -> None:
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"the checkpoint {source} holds NaN or infinity in {name}; it is of no use")


def _misfit(report: LoadReport, source: str) -> str:
    text = f"the checkpoint {source} does not fit the backbone: {report.summary()}"
    for label, names in (("missing", report.missing), ("unexpected", report.unexpected)):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            text += f"; {label}: {', '.join(names[:3])}{more}"
    return text + "; choose the backbone it was made for, or accept a partly random trunk with --allow-partial"


def _with_shape(name: str, value: Tensor) -> str:
    return f"{name} {_shape(value)}"


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "scalar"
