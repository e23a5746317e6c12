"""A pre-training as a run of ``bench``: stored, recorded and resumed like a task, but not on a leaderboard.

Imports torch only inside its methods.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.settings.scaled_rates import describe_scaled_rates
from engine.task import DataReport, DecodeLevel, MetricSpec, RunPlan, RunRequest, Task, TaskOutcome
from foundation.errors import UserError
from foundation.run_scope import memoize_in_run
from pretraining.data.dataset_specs import PretrainDatasetCard, get_dataset_card
from pretraining.method_registry import get_method_card

if TYPE_CHECKING:
    from engine.teacher import TeacherWeights
    from pretraining.data.readers import ImagePool
    from pretraining.recipe import PretrainRecipe
    from results.records.picture_manifest import DrawnPicture
    from results.records.record import Record

CONFIG_DIR = Path(__file__).parent / "configs"


class PretrainTask(Task):
    """One method on one image set, with or without a teacher; the request's protocol is the method.

    Args:
        method: name of the method.
        data: name of the image set.
        teacher: registry name of the teacher, or ``timm/<name>``.
        teacher_checkpoint: weights for the teacher instead of those of its card.
        skip_bad: skip (and count) images that cannot be decoded.
        knn_data: a labeled set for the k-NN check; the default is ``data``, if it has labels.

    Raises:
        UserError: a teacher is missing or not used by the method, or ``knn_data`` has no labels.
    """

    name = "pretrain"
    domain = "pretraining"
    summary = "make a backbone without labels"
    metrics = (MetricSpec("loss", "", False), MetricSpec("knn", "%", True))

    def __init__(
        self,
        method: str,
        data: str,
        teacher: str | None = None,
        teacher_checkpoint: str | None = None,
        skip_bad: bool = False,
        knn_data: str | None = None,
    ) -> None:
        self.method = get_method_card(method)
        self.data: PretrainDatasetCard = get_dataset_card(data)
        self.knn_dataset = get_dataset_card(knn_data) if knn_data else self.data
        if knn_data and not self.knn_dataset.has_labels:
            raise UserError(f"--knn-data {knn_data} has no labels for a k-NN check; choose a labeled set")
        if self.method.needs_teacher and teacher is None:
            raise UserError(f"method {method} needs a teacher: --teacher NAME, e.g. --teacher mae_base")
        if not self.method.needs_teacher and (teacher or teacher_checkpoint):
            raise UserError(f"method {method} has no teacher; leave --teacher out, or run a method that distills")
        self.teacher, self.teacher_checkpoint = teacher, teacher_checkpoint
        self.skip_bad = skip_bad
        # the other sets have a fixed layout
        self.data_options = ("exclude",) if data == "folder" else ()
        self.protocols = (method,)
        self.expected = {"train": self.data.official_count} if self.data.official_count else {}

    def load_pool(self, root: Path) -> ImagePool:
        """Return the training images; each run reads them only once."""
        return _read_pool(self.data, root)

    def load_knn_pool(self, root: Path) -> ImagePool | None:
        """Return the images of the k-NN check, or ``None`` without a check."""
        return _read_pool(self.knn_dataset, root) if self.knn_dataset.has_labels else None

    def find_teacher_weights(self) -> TeacherWeights | None:
        """Locate the teacher's weights; returns ``None`` without a teacher.

        Raises:
            UserError: the teacher has no weights, or its name leaves open which ones.
        """
        from backbones.weight_sources.timm_tags import require_named_weights
        from engine.teacher import locate_teacher

        if self.teacher and self.teacher_checkpoint is None:
            require_named_weights(self.teacher)
        return locate_teacher(self.teacher, self.teacher_checkpoint) if self.teacher else None

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Read the file lists (or pixels) and compare the number of images with the official one.

        Args:
            root: folder that contains the data sets.
            decode: how many images to decode: none, about 100 (``sample``) or all.
        """
        pool = self.load_pool(root)
        official, count = self.data.official_count, len(pool)
        departures = list(pool.deviations)
        if official is not None and count != official:
            departures.append(f"{count:,} images where the official training split has {official:,}")
        if decode != "none":
            for index in range(count) if decode == "all" else range(0, count, max(1, count // 100)):
                pool.load_image(index)
        return DataReport(pool.fingerprint, {"train": count}, deviations=tuple(departures), coverage=pool.coverage)

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Resolve ``configs/<method>_<architecture>.py``, ``<method>_<data>.py`` or ``<method>.py``.

        The method is built once around a copy of the backbone: what does not fit is reported, and nothing written.

        Args:
            request: the cell.
            data: what ``check_data`` found.

        Raises:
            UserError: the backbone comes from memory, or parts do not fit together.
            ConfigError: the configuration is invalid.
        """
        from engine.config import load_protocol
        from engine.data.item_limits import apply_item_limit
        from engine.optimizer import require_swin_for_layers
        from pretraining.knn_monitor import require_monitor_images
        from pretraining.models.vit import get_backbone_arguments
        from pretraining.run import build_method, describe_training

        card = request.card
        if request.start.init == "memory":
            raise UserError(
                f"the module {card.name} comes from memory, and the encoder that a pre-training exports could not be "
                "loaded again without its code; register it as a plug-in (docs/guides/add-a-backbone.md)"
            )
        names = (f"{request.protocol}_{card.architecture}", f"{request.protocol}_{self.data.name}", request.protocol)
        file = next(path for path in (CONFIG_DIR / f"{name}.py" for name in names) if path.is_file())
        protocol = load_protocol(file, self.method.load_recipe_class(), request.tier, request.overrides)
        recipe, limited = apply_item_limit(protocol.recipe, data)
        _require_used_resize(recipe, self.data)
        size = recipe.img_size or card.input_size[1]
        arguments: dict[str, Any] = {"img_size": size, "num_classes": 0, **get_backbone_arguments(card.architecture)}
        teacher = self.find_teacher_weights()
        prepared = request.prepare_backbone(arguments)
        require_swin_for_layers(protocol.changed, card.name, prepared.model)
        # a copy, because building the method may initialize the backbone again
        built = build_method(self, request, recipe, size, prepared._replace(model=copy.deepcopy(prepared.model)))
        labeled = self.load_knn_pool(request.data_root)
        if labeled is not None:
            require_monitor_images(len(labeled), recipe.knn_monitor)
        return RunPlan(
            protocol_version=protocol.version,
            config={
                "recipe": recipe.identity_settings(),
                "data": self.data.name,
                "knn_data": self.knn_dataset.name if self.knn_dataset.has_labels else None,
                # the images of the check may be another set, and their labels are in no fingerprint of images
                **({"knn_content": labeled.hash_labeled_images()} if labeled else {}),
                "teacher": teacher.identity_dict() if teacher else None,
                **describe_training(built.method, recipe, limited.splits["train"]),
            },
            non_identity_settings={**recipe.non_identity_settings(), "skip_bad": self.skip_bad},
            backbone_kwargs=arguments,
            # rows of the curve: one per epoch, or one per val_interval iterations (the last one may be shorter)
            num_expected_items=-(-recipe.length // (1 if recipe.by_epoch else recipe.val_interval)),
            steps=("train", "export the encoder", "draw"),
            notes=describe_scaled_rates(protocol.scaled_rates),
            **protocol.plan_fields,
        )

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train in the folder ``out``."""
        from pretraining.run import run_pretraining

        return run_pretraining(self, request, plan, out)

    def visualize_run(self, folder: Path, record: Record, data_root: Path) -> list[DrawnPicture]:
        """Draw the curve of the training; reconstructions need the model, so the run itself draws them."""
        from pretraining.visualize import draw_pretraining_curve

        return [draw_pretraining_curve(folder, record)]


def _require_used_resize(recipe: PretrainRecipe, data: PretrainDatasetCard) -> None:
    """Require that ``resize`` is left alone where it changes nothing; otherwise one number would have two ids.

    Raises:
        UserError: it was set, and the images are in memory.
    """
    if recipe.resize != "pillow" and not data.has_files:
        raise UserError(
            f"resize={recipe.resize} is for image files, and the images of {data.name} are in memory, where it changes "
            "nothing; leave it out"
        )


@memoize_in_run  # the training images, and those of the k-NN check
def _read_pool(data: PretrainDatasetCard, root: Path) -> ImagePool:
    from pretraining.data import readers

    pool: ImagePool = getattr(readers, data.reader_name)(root)
    return pool
