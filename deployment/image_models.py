"""Export a classifier or segmentor for a runtime, load such an export, and put it in the place of PyTorch's model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from deployment.export_folder import hash_files, read_export, require_export_place, write_export
from deployment.formats import FORMAT_BY_RUNTIME, RUNTIME_BY_FORMAT, ExportFormat, ExportRuntime
from deployment.graph_io import GraphCallable
from deployment.images.image_graphs import (
    hash_image_model,
    prepare_image_model,
    quantize_image_graph,
    write_image_graph,
)
from deployment.images.image_manifest import IMAGE_GRAPH, IMAGE_INPUT, ImageManifest, ImageModelFacts, ImageParity
from deployment.images.image_parity import measure_image_parity, require_image_parity
from deployment.images.image_sets import ImageSet, make_calibration_photos, make_parity_photos
from deployment.manifest import MANIFEST_FILENAME, Calibration, ExportOrigin
from deployment.runtimes import load_runtime_graphs, make_export_files, require_runtime
from engine.evaluation.model_source import Precision
from engine.progress_bar import log_message
from engine.run_environment import collect_package_versions, utc_now
from foundation.errors import UserError
from foundation.files import ensure_writable_dir


@dataclass(frozen=True)
class RuntimeNetwork:
    """An exported model in the place of PyTorch's: maps normalized images (N, 3, H, W) to its outputs.

    The images of a batch are computed one after another, since the graphs have a batch of one.

    Attributes:
        graph: the graph.
        facts: what the model is.
        size: height and width of its input, pixels, unless the size is dynamic.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the computation.
        threads: number of threads for one call.
        manifest: manifest of the export; ``None`` before it is written.
        num_bytes: bytes of its files; 0 before it is written.
    """

    graph: GraphCallable
    facts: ImageModelFacts
    size: tuple[int, int]
    runtime: ExportRuntime
    precision: Precision
    threads: int
    manifest: ImageManifest | None = None
    num_bytes: int = 0

    def __call__(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) or (N, classes, H, W), or labels, on the device of the images.

        Raises:
            UserError: the model takes images of another size.
        """
        self._require_size(tuple(images.shape))
        arrays = np.ascontiguousarray(images.detach().float().cpu().numpy())
        # a runtime returns its own memory, which the next call may overwrite; concatenating copies it
        outputs = [self.graph({IMAGE_INPUT: image[None]})[self.facts.output] for image in arrays]
        return torch.from_numpy(np.concatenate(outputs)).to(images.device)

    def describe(self) -> dict[str, Any]:
        """Return what a record keeps of the export: its files, how far it is from PyTorch's model, its calibration."""
        assert self.manifest is not None, "only a network that was loaded is described"
        return self.manifest.model_dump(mode="json", include={"files", "parity", "calibration", "model_sha256"})

    def _require_size(self, shape: tuple[int, ...]) -> None:
        divisors = self.facts.size_divisor
        fits, expected = shape[2:] == self.size, f"{self.size[0]} x {self.size[1]} pixels"
        if self.facts.dynamic_size:
            fits = all(side % divisor == 0 for side, divisor in zip(shape[2:], divisors, strict=True))
            expected = f"sides that are multiples of {divisors[0]} and {divisors[1]}"
        if not fits:
            raise UserError(
                f"this exported {self.facts.kind} takes images (N, 3, H, W) of {expected}, not {shape}; resize or pad "
                "them, or export it with another --size"
            )


class ImageExport(NamedTuple):
    """An exported model: its folder and its manifest."""

    folder: Path
    manifest: ImageManifest


def export_image_model(
    model: nn.Module,
    facts: ImageModelFacts,
    *,
    export_format: ExportFormat,
    precision: Precision,
    out: Path,
    origin: ExportOrigin,
    example: Tensor,
    calibration: ImageSet | None = None,
    parity_images: ImageSet | None = None,
) -> ImageExport:
    """Export a model to ``<format>-<precision>`` below a folder, after comparing it with PyTorch.

    Args:
        model: maps normalized images (N, 3, H, W) to logits, (N, classes) or (N, classes, H, W); it is not changed.
        facts: what the model is, for the manifest; it also decides about argmax and dynamic size.
        export_format: ``onnx`` (for ONNX Runtime) or ``openvino``.
        precision: ``f32``, ``bf16`` (OpenVINO, if the CPU has it) or ``int8``.
        out: folder in which the folder of the export is written.
        origin: where the weights come from.
        example: an image, (1, 3, H, W); the export takes images of its size.
        calibration: real images of that size for int8, never those of a test set; embedded photographs by default.
        parity_images: real images to compare on; embedded photographs by default.

    Raises:
        UserError: a package is missing, the runtime lacks the precision, the model cannot be written as ONNX, or
            something else is in that place.
        BenchError: the exported model does not compute what PyTorch computes; nothing was written.
    """
    runtime = RUNTIME_BY_FORMAT[export_format]
    # before anything is computed, which takes longer
    require_runtime(runtime, precision)
    ensure_writable_dir(out)
    name = f"{export_format}-{precision}"
    require_export_place(out / name)
    log_message(f"exporting {origin.backbone} as {name}")
    reference, size = prepare_image_model(model), (int(example.shape[2]), int(example.shape[3]))
    images = _complete_parity_images(parity_images, facts, size)
    graph, described = write_image_graph(reference, facts, size, origin.backbone), None
    export_name = f"the {name} export of {origin.backbone}"
    if facts.dynamic_size:
        _require_dynamic_graph(graph, reference, facts, images, export_name)
    # bf16 has the same files as f32: the runtime converts when it compiles them
    if precision == "int8":
        calibration = calibration or make_calibration_photos(size, facts.mean, facts.std)
        graph, described = quantize_image_graph(graph, facts, calibration)
    files = make_export_files({IMAGE_GRAPH: graph}, export_format)
    # loaded from the very bytes that are written below
    network = _build_network(files, facts, size, runtime, precision, torch.get_num_threads())
    parity = measure_image_parity(reference, network, images, facts.output)
    require_image_parity(parity, precision, export_name)
    manifest = make_image_manifest(network, reference, files, origin, parity, described)
    write_export(out / name, files, manifest)
    return ImageExport(out / name, manifest)


def make_image_manifest(
    network: RuntimeNetwork,
    reference: nn.Module,
    files: dict[str, bytes],
    origin: ExportOrigin,
    parity: ImageParity,
    calibration: Calibration | None,
) -> ImageManifest:
    """Return the manifest of an export.

    Args:
        network: the exported model, as it was compared with PyTorch's.
        reference: PyTorch's model, as ``prepare_image_model`` returns it.
        files: the content of each file by its name.
        origin: where the weights come from.
        parity: how far the export is from PyTorch's model.
        calibration: calibration of int8, else ``None``.
    """
    return ImageManifest(
        format=FORMAT_BY_RUNTIME[network.runtime],
        runtime=network.runtime,
        precision=network.precision,
        origin=origin,
        files=hash_files(files),
        versions=collect_package_versions(),
        calibration=calibration,
        created=utc_now(),
        facts=network.facts,
        size=list(network.size),
        model_sha256=hash_image_model(reference),
        parity=parity,
    )


def load_image_model(folder: Path, threads: int | None = None) -> RuntimeNetwork:
    """Load an exported classifier or segmentor after checking its files.

    Args:
        folder: folder of the export, which has ``manifest.json``.
        threads: number of threads for one call; by default as many as torch uses.

    Raises:
        UserError: there is no such export, its files were changed, or the runtime does not compute as requested.
    """
    manifest, files = read_export(folder, ImageManifest)
    size = (manifest.size[0], manifest.size[1])
    threads = threads or torch.get_num_threads()
    network = _build_network(files, manifest.facts, size, manifest.runtime, manifest.precision, threads)
    return replace(network, manifest=manifest, num_bytes=sum(map(len, files.values())))


def build_runtime_network(
    model: nn.Module,
    facts: ImageModelFacts,
    *,
    runtime: ExportRuntime,
    precision: Precision,
    out: Path,
    origin: ExportOrigin,
    example: Tensor,
    calibration: ImageSet | None = None,
    parity_images: ImageSet | None = None,
    threads: int | None = None,
) -> RuntimeNetwork:
    """Put an exported model in the place of PyTorch's: export it below a folder, or take the export that is there.

    Args:
        model: see ``export_image_model``, as for the other arguments without a description.
        facts: what the model is.
        runtime: ``onnxruntime`` or ``openvino``.
        precision: precision of the computation.
        out: folder in which the folder of the export is, or is written.
        origin: where the weights come from.
        example: an image of the size that the export takes.
        calibration: real images for int8.
        parity_images: real images to compare on.
        threads: number of threads for one call; by default as many as torch uses.

    Raises:
        UserError: see ``export_image_model``.
        BenchError: see ``export_image_model``.
    """
    export_format = FORMAT_BY_RUNTIME[runtime]
    require_runtime(runtime, precision)
    folder = out / f"{export_format}-{precision}"
    size = [int(example.shape[2]), int(example.shape[3])]
    if not _is_same_export(folder, model, facts, size, calibration):
        folder = export_image_model(
            model,
            facts,
            export_format=export_format,
            precision=precision,
            out=out,
            origin=origin,
            example=example,
            calibration=calibration,
            parity_images=parity_images,
        ).folder
    return load_image_model(folder, threads)


def _is_same_export(
    folder: Path, model: nn.Module, facts: ImageModelFacts, size: list[int], calibration: ImageSet | None
) -> bool:
    """Return whether a folder holds this very model, exported by the packages that are installed now."""
    if not (folder / MANIFEST_FILENAME).is_file():
        return False
    try:
        manifest, _ = read_export(folder, ImageManifest)
    # a damaged export, or one of another kind of model, is simply made again
    except UserError as error:
        log_message(f"{error} (this is done now)")
        return False
    is_calibrated_alike = (
        calibration is None
        or manifest.calibration is None
        or manifest.calibration.fingerprint == calibration.compute_fingerprint()
    )
    # the versions, because another exporter or quantizer may write another graph for the same weights
    return (
        (manifest.facts, manifest.size, manifest.versions) == (facts, size, collect_package_versions())
        and is_calibrated_alike
        and manifest.model_sha256 == hash_image_model(prepare_image_model(model))
    )


def _build_network(
    files: dict[str, bytes],
    facts: ImageModelFacts,
    size: tuple[int, int],
    runtime: ExportRuntime,
    precision: Precision,
    threads: int,
) -> RuntimeNetwork:
    graph = load_runtime_graphs(files, runtime, precision, threads)[IMAGE_GRAPH]
    return RuntimeNetwork(graph, facts, size, runtime, precision, threads)


def _complete_parity_images(images: ImageSet | None, facts: ImageModelFacts, size: tuple[int, int]) -> ImageSet:
    """Return images to compare on; for a dynamic size of at least two sizes, one of which was not exported with."""
    if not facts.dynamic_size:
        return images or make_parity_photos([size], facts.mean, facts.std)
    if images is not None and len(images.list_sizes()) > 1:
        return images
    # different for both sides, so that a mix-up of the two is noticed
    other = (size[0] + 2 * facts.size_divisor[0], size[1] + 3 * facts.size_divisor[1])
    return make_parity_photos([size, other], facts.mean, facts.std)


def _require_dynamic_graph(
    graph: bytes, reference: nn.Module, facts: ImageModelFacts, images: ImageSet, export_name: str
) -> None:
    """Check that a graph computes with other sizes than the one it was traced with.

    ONNX Runtime is asked whatever the format: it refuses shapes that do not fit, where OpenVINO writes over memory.

    Raises:
        UserError: it does not run with another size, or computes something else then.
    """
    files = make_export_files({IMAGE_GRAPH: graph}, "onnx")
    size = (int(images.images[0].shape[2]), int(images.images[0].shape[3]))
    network = _build_network(files, facts, size, "onnxruntime", "f32", torch.get_num_threads())
    try:
        require_image_parity(measure_image_parity(reference, network, images, facts.output), "f32", export_name)
    # another number, or an error of ONNX Runtime's own
    except Exception as error:
        raise UserError(
            f"{export_name} computes with the size that it was traced with and not with another, since a part of the "
            f"architecture has a fixed size ({str(error).partition(chr(10))[0][:120]}); nothing was written, name a "
            "fixed size with --size HxW"
        ) from error
