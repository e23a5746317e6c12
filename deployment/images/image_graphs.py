"""The graph of a classifier or segmentor: normalized images in, logits or labels out, in f32 or int8."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from backbones.memory_modules.module_hash import hash_plain_attributes, hash_state_dict
from deployment.images.image_manifest import IMAGE_INPUT, ImageModelFacts
from deployment.images.image_sets import ImageSet
from deployment.int8 import ACTIVATION_PRODUCTS, FIRST_CONVOLUTION, QUANTIZATION_METHOD, FloatRule, quantize_model
from deployment.manifest import Calibration
from deployment.onnx_export import ExportGraph, export_onnx
from foundation.errors import UserError
from foundation.files import sha256_chunks

FLOAT_PARTS = (
    "attention products, softmax, norms, the first convolution, linear layers on pooled features, and the 1x1 "
    "convolution that gives the logits of a segmentor"
)
MAX_BYTE_CLASSES = 256
"""Labels of more classes do not fit into a byte."""


def prepare_image_model(model: nn.Module) -> nn.Module:
    """Return a copy of a model on the CPU, in evaluation mode and f32, that computes attention step by step.

    Args:
        model: the model; it is not changed.
    """
    twin = copy.deepcopy(model).cpu().float().eval().requires_grad_(False)
    parts: list[Any] = list(twin.modules())
    for part in parts:
        # timm's switch: the steps are standard operators, which both runtimes fuse again
        if hasattr(part, "fused_attn"):
            part.fused_attn = False
    return twin


def hash_image_model(model: nn.Module) -> str:
    """Return the SHA-256 of what a prepared model computes with: its tensors by name, and its plain attributes.

    Args:
        model: the model, as ``prepare_image_model`` returns it.
    """
    parts = (hash_state_dict(model.state_dict()), hash_plain_attributes(model))
    return sha256_chunks(part.encode() for part in parts)


def write_image_graph(model: nn.Module, facts: ImageModelFacts, size: tuple[int, int], name: str) -> bytes:
    """Write a model as an ONNX graph in f32.

    Args:
        model: the model, as ``prepare_image_model`` returns it; it is not changed.
        facts: decides about argmax and dynamic size.
        size: height and width of the input, pixels.
        name: name of the model, for messages.

    Raises:
        UserError: the model has an operator that ONNX has no form for, or cannot be traced.
    """
    # a copy, because the exporter folds batch norms into the weights
    module: nn.Module = copy.deepcopy(model)
    if facts.output == "labels":
        module = LabelModule(module, facts.num_classes)
    axes = None
    if facts.dynamic_size:
        sides = {2: "height", 3: "width"}
        axes = {IMAGE_INPUT: sides, facts.output: {1: "height", 2: "width"} if facts.output == "labels" else sides}
    advice = "name a fixed one with --size HxW" if facts.dynamic_size else "choose another backbone or head"
    return trace_image_graph(
        ExportGraph(module, {IMAGE_INPUT: torch.zeros(1, 3, *size)}, (facts.output,), axes), name, advice
    )


def trace_image_graph(graph: ExportGraph, name: str, advice: str) -> bytes:
    """Export a graph, and say in one sentence why a model cannot be exported.

    Args:
        graph: the graph.
        name: name of the model, for messages.
        advice: what to do where it fails, for messages.

    Raises:
        UserError: the model has an operator that ONNX has no form for, or cannot be traced.
    """
    try:
        return export_onnx(graph)
    except UserError:
        raise
    # tracing runs the code of any model, which may raise anything
    except Exception as error:
        reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
        which = " with a dynamic size" if graph.dynamic_axes else ""
        raise UserError(f"{name} cannot be written as ONNX{which} ({reason}); {advice}") from error


def quantize_image_graph(graph: bytes, facts: ImageModelFacts, images: ImageSet) -> tuple[bytes, Calibration]:
    """Quantize a graph to int8, and describe how.

    Args:
        graph: the ONNX graph in f32.
        facts: the number of classes says which convolution gives the logits.
        images: real images of the graph's size, never those of a test set.
    """
    rules = (ACTIVATION_PRODUCTS, FIRST_CONVOLUTION, _make_logit_rule(facts.num_classes))
    feeds: list[dict[str, Any]] = [{IMAGE_INPUT: image.numpy()} for image in images.images]
    described = Calibration(
        source=images.source,
        fingerprint=images.compute_fingerprint(),
        samples=len(images.images),
        seed=images.seed,
        method=QUANTIZATION_METHOD,
        float_parts=FLOAT_PARTS,
    )
    return quantize_model(graph, feeds, rules), described


def _make_logit_rule(num_classes: int) -> FloatRule:
    """Return the rule for the last convolution of a segmentor."""
    return FloatRule(
        "Conv",
        lambda shape: shape is not None and shape[0] == num_classes and shape[2:] == (1, 1),
        "its outputs are compared with one another",
    )


class LabelModule(nn.Module):
    """Adds the choice of the class to a model: bytes for up to 256 classes, else 64-bit integers.

    Args:
        model: maps images to logits, classes in dimension 1.
        num_classes: number of classes.
    """

    def __init__(self, model: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.model = model
        self.label_type = torch.uint8 if num_classes <= MAX_BYTE_CLASSES else torch.int64

    def forward(self, images: Tensor) -> Tensor:
        """Return the class with the highest logit."""
        labels: Tensor = self.model(images).argmax(1)
        return labels.to(self.label_type)
