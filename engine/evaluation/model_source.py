"""Which finished model is evaluated, used or exported, as the user named it. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from foundation.errors import UserError

Runtime = Literal["torch", "onnxruntime", "openvino"]
"""What computes a network: PyTorch, or, after an export, ONNX Runtime or OpenVINO."""

Precision = Literal["f32", "bf16", "int8"]
"""The precision of an exported network's computation; PyTorch computes in f32."""

RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class ModelSource:
    """A finished model, from exactly one of five places, and how it is applied.

    - ``run``: a complete run of bench, whose tested weights are taken;
    - ``backbone`` alone: a name of the registry or ``timm/<name>``, with the head of its own weights;
    - ``backbone`` and ``checkpoint``: a file that holds the whole model, for example a fine-tuned classifier or a
      tracker of OSTrack's code;
    - ``config`` and ``checkpoint``: a config file of mmsegmentation, which is code and is executed, and its weights;
    - ``module``: a torch module from memory, in a notebook.

    Attributes:
        run: folder of the run.
        backbone: name of the backbone.
        checkpoint: the file with the weights of the whole model; without ``backbone`` and ``config`` it lies in the
            folder of a run, whose record says the rest.
        weights_key: the weights to take from a file that holds several versions of them.
        config: the config file.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        runtime: what computes the network.
        precision: precision of the runtime.
        overrides: ``key=value`` texts of ``--set``: how the model is applied, where that differs from its own settings.
        module: a classifier with its head, a ``torch.nn.Module``; it is copied and never changed.
    """

    run: Path | None = None
    backbone: str | None = None
    checkpoint: Path | None = None
    weights_key: str | None = None
    config: Path | None = None
    device: str = "auto"
    runtime: Runtime = "torch"
    precision: Precision = "f32"
    overrides: tuple[str, ...] = ()
    module: Any = None

    def require_one_place(self) -> None:
        """Check that the model comes from exactly one place, and that its precision exists.

        Raises:
            UserError: it does not; the message names the options that fit together.
        """
        if self.module is not None:
            if self.run or self.backbone or self.config or self.checkpoint:
                raise UserError("a module from memory is the whole model, so no run, name or file goes with it")
            self._require_precision()
            return
        ways = "--run RUN, --backbone NAME [--checkpoint FILE], or --config FILE --checkpoint FILE"
        if self.run is None and self.backbone is None and self.config is None and self.checkpoint is None:
            raise UserError(f"no model is named; give {ways}")
        if self.run is not None and (self.backbone or self.checkpoint or self.config):
            raise UserError("--run names the whole model, so --backbone, --checkpoint and --config do not go with it")
        if self.config is not None and (self.backbone is not None or self.checkpoint is None):
            raise UserError("--config needs --checkpoint FILE with its weights, and no --backbone")
        if self.weights_key is not None and self.checkpoint is None:
            raise UserError("--weights-key names weights in a file; add --checkpoint FILE, or leave it out")
        self._require_precision()

    def _require_precision(self) -> None:
        if self.runtime == "torch" and self.precision != "f32":
            raise UserError(
                f"precision {self.precision} is one of an exported model; add --runtime onnxruntime or openvino"
            )
