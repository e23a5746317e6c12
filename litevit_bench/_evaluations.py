"""Finished models: evaluate them, predict with them, and open what a run left."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from litevit_bench._arguments import (
    PathLike,
    convert_data_options,
    format_overrides,
    list_folders,
    require_choice,
    require_path,
    resolve_places,
)
from litevit_bench._runs import Overrides

if TYPE_CHECKING:
    from torch import nn

    from engine.evaluation.contract import PredictionReport
    from engine.evaluation.model_source import ModelSource
    from engine.task import Task
    from results.records.record import Record

RuntimeName = Literal["torch", "onnxruntime", "openvino"]
PrecisionName = Literal["f32", "bf16", "int8"]


def evaluate(
    model: PathLike | nn.Module,
    task: str | Task,
    *,
    checkpoint: PathLike | None = None,
    weights_key: str | None = None,
    settings: Overrides | None = None,
    runtime: RuntimeName = "torch",
    precision: PrecisionName = "f32",
    label: str | None = None,
    data_root: PathLike | None = None,
    data_options: Overrides | None = None,
    out: PathLike = "runs",
    device: str = "auto",
    allow_subset: bool = False,
    allow_duplicates: bool = False,
    hash_all: bool = False,
    force_new: bool = False,
) -> Record:
    """Test a finished model as it is, nothing trained; an evaluation that was made before is answered from its record.

    Args:
        model: folder of a finished run; name of a backbone (of the registry, or ``timm/<name>``) with the head of its
            own weights or of ``checkpoint``; a config file of mmsegmentation (``.py``, with ``checkpoint``; it is code
            and is executed, so it must be trusted); a checkpoint inside the folder of a run; or, on a classification
            task, a classifier with its head as a torch module. Of a module, ``name``, ``mean``, ``std`` (of pixels in 0
            to 1) and ``input_size`` are taken as ``run`` takes them. It is copied and never changed; the record says
            that it came from memory and holds a SHA-256 of its tensors.
        task: name of a task (``list_tasks``), or a ``Task`` of your own.
        checkpoint: file with the weights of the whole model, its head included.
        weights_key: the weights to take from a file that holds several versions of them.
        settings: how the model is applied, where that is not as its own settings say: ``{"img_size": 256}``.
        runtime: what computes the network; the others compute an export that is made first.
        precision: of an exported network.
        label: a name for the row on boards; changes no number and no id.
        data_root: folder of the data sets; ``$BENCH_DATA`` or ``data`` where not given.
        data_options: how data of your own are laid out and labeled, as ``run`` takes it; part of the id.
        out: folder of the runs.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        allow_subset: accept data that are not the whole official set; such numbers have boards of their own.
        allow_duplicates: accept test items whose content is also in the training data; the record keeps it.
        hash_all: hash every byte of the data, also above 20 GB, where a sample is the default.
        force_new: evaluate again although a record exists, and read no cache.

    Returns:
        The complete record, of protocol ``as_is``. Its numbers are in ``record.result.metrics``, by name.

    Raises:
        UserError: something in the request does not fit; nothing was written.
        BenchError: the evaluation failed.
    """
    from benchmarks.evaluation.evaluate_model import EvaluationRequest, evaluate_model

    places = resolve_places(data_root, out, device)
    source = _make_source(model, checkpoint, weights_key, settings, runtime, precision, places.pop("device"))
    request = EvaluationRequest(
        task=task,
        source=source,
        **places,
        allow_subset=allow_subset,
        allow_duplicates=allow_duplicates,
        hash_all=hash_all,
        data_options=convert_data_options(data_options),
        force_new=force_new,
        command_line=("litevit_bench.evaluate",),
        label=label,
    )
    return evaluate_model(request).record


def predict(
    model: PathLike | nn.Module,
    images: PathLike | Sequence[PathLike],
    out: PathLike,
    *,
    checkpoint: PathLike | None = None,
    weights_key: str | None = None,
    settings: Overrides | None = None,
    runtime: RuntimeName = "torch",
    precision: PrecisionName = "f32",
    device: str = "auto",
) -> PredictionReport:
    """Predict the class of each image or of each of its pixels, or its objects, and write that into a folder.

    Args:
        model, checkpoint, weights_key, settings, runtime, precision: the finished model, as of ``evaluate``.
        images: a file or a folder, or several; of a folder all images are taken, those in subfolders too.
        out: folder of the predictions.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns:
        What was done: ``report.data`` is plain data, ``report.text`` the same in lines of text.

    Raises:
        UserError: no image, an image that cannot be read, or a model that predicts nothing for single images.
    """
    from benchmarks.evaluation.predict_images import predict_images

    # predictions read no data set
    places = resolve_places(None, out, device)
    source = _make_source(model, checkpoint, weights_key, settings, runtime, precision, places["device"])
    return predict_images(source, list_folders(images, "images"), places["out"])


def _make_source(
    model: PathLike | nn.Module,
    checkpoint: PathLike | None,
    weights_key: str | None,
    settings: Overrides | None,
    runtime: str,
    precision: str,
    device: str,
) -> ModelSource:
    """Find out which of the places of a finished model is meant.

    Raises:
        UserError: it is none of them.
    """
    from engine.evaluation.model_source import PRECISIONS, RUNTIMES, ModelSource
    from foundation.errors import UserError

    require_choice("runtime", runtime, RUNTIMES)
    require_choice("precision", precision, PRECISIONS)
    applied: dict[str, Any] = {
        "weights_key": weights_key,
        "device": device,
        "runtime": runtime,
        "precision": precision,
        "overrides": format_overrides(settings),
    }
    file = None if checkpoint is None else require_path("checkpoint", checkpoint)
    if not isinstance(model, str | Path):
        return ModelSource(module=_require_module(model), checkpoint=file, **applied)
    # what exists counts before what could be a name: a folder "vit_tiny" of a user is the run that they mean
    path = Path(model).expanduser()
    place: dict[str, Any] = {"backbone": str(model)}
    if not path.exists() and (isinstance(model, Path) or _is_meant_as_path(model)):
        raise UserError(f"there is no run, checkpoint or config at {model}; fix the path, or name a backbone")
    if path.is_dir():
        place = {"run": path}
    elif path.suffix == ".py":
        place = {"config": path}
    elif path.is_file():
        place = {}
        if file is not None:
            raise UserError(f"{model} and checkpoint {checkpoint} are two files; give one of them")
        file = path
    return ModelSource(**place, checkpoint=file, **applied)


def _is_meant_as_path(model: str) -> bool:
    """Whether a text is no name of a backbone: a config, or a path with folders, which no name but timm's has."""
    is_name = model.startswith(("timm/", "hf-hub:", "hf_hub:"))
    return model.endswith(".py") or (not is_name and ("/" in model or os.sep in model))


def _require_module(model: object) -> nn.Module:
    """Accept a torch module.

    Raises:
        UserError: it is something else.
    """
    from torch import nn

    from foundation.errors import UserError

    if not isinstance(model, nn.Module):
        raise UserError(
            f"a finished model is a folder, a file, a name of a backbone or a torch module, not {type(model).__name__}"
        )
    return model


_MODEL_LOADERS = {
    "classification": ("classification.as_is.finished_classifier", "open_classifier"),
    "segmentation": ("segmentation.as_is.evaluation", "open_segmentor"),
    "detection": ("detection.as_is.evaluation", "open_detector"),
    "tracking": ("tracking.inference.run_files", "load_torch_factory"),
}
"""Domain of a run: module and function that open its model."""


@dataclass(frozen=True)
class LoadedRun:
    """A run of a store, opened in a notebook.

    Attributes:
        folder: its folder.
        record: its record.
    """

    folder: Path
    record: Record

    @property
    def items(self) -> dict[str, list[float | None] | list[str | None]]:
        """The outcome of each test item, by column: numbers as numbers, so that ``pandas.DataFrame(run.items)`` works.

        Raises:
            RecordError: the file is missing, or is not the one of the record.
        """
        from results.statistics.item_files import read_item_table
        from results.tabular.item_table import convert_column

        found: dict[str, list[float | None] | list[str | None]] = {}
        for name, cells in read_item_table(self.folder, self.record).columns.items():
            # a column is one of numbers or one of texts, so that every table library takes it
            numbers, texts = convert_column(cells)
            found[name] = texts if any(text is not None for text in texts) else numbers
        return found

    def load_model(self) -> nn.Module:
        """Load the whole model that the run was tested with, in evaluation mode on the CPU.

        Raises:
            UserError: the run kept no model: a frozen backbone with a probe, a pre-training, an evaluation.
        """
        from foundation.errors import UserError

        if self.record.is_evaluation or self.record.domain not in _MODEL_LOADERS:
            raise UserError(
                f"{self.folder} is a run of {self.record.task} {self.record.protocol}, which trained no model of its "
                "own; open the run or the file whose model it is about"
            )
        module, name = _MODEL_LOADERS[self.record.domain]
        load: Any = getattr(importlib.import_module(module), name)
        # a run of a tracker is opened with everything that its tracking needs, of which the network is a part
        if self.record.domain == "tracking":
            return load(self.folder).load_model()  # type: ignore[no-any-return]
        from engine.evaluation.model_source import ModelSource

        source = ModelSource(run=self.folder)
        if self.record.domain == "classification":
            return load(source).model  # type: ignore[no-any-return]
        settings: Any = importlib.import_module(f"{self.record.domain}.as_is.settings")
        return load(source, settings.parse_settings(()), "cpu").model  # type: ignore[no-any-return]


def load_run(folder: PathLike) -> LoadedRun:
    """Open a run of a store: its record, the outcomes of its test items, and its model.

    Args:
        folder: the run's folder.

    Returns:
        The run, with ``record``, ``items`` (columns of the per-item table) and ``load_model()``.

    Raises:
        UserError: there is no such folder.
        RecordError: there is no record that can be read.
    """
    from foundation.errors import UserError
    from results.records.store import read_record

    place = require_path("folder", folder)
    if not place.is_dir():
        raise UserError(
            f"there is no folder of a run at {folder}; litevit_bench.list_runs names the folders of a store"
        )
    return LoadedRun(place, read_record(place))
