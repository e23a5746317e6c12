"""A pre-training as a run of ``bench``: the same store, record and resume as a task's, on no board.

Imports torch only inside its methods.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.task import DataReport, Decode, MetricSpec, Outcome, Plan, Request, Task
from foundation.errors import UserError
from pretraining.data.dataset_specs import PretrainSet, get_set
from pretraining.method_registry import get_method

if TYPE_CHECKING:
    from pretraining.data.readers import Pool
    from pretraining.methods.teacher import TeacherFile

CONFIGS = Path(__file__).parent / "configs"


class Pretraining(Task):
    """One method on one set of images, with or without a teacher; the request's protocol is the method.

    Args:
        method: its name.
        data: the set's name.
        teacher: registry name or ``timm/<name>``.
        teacher_checkpoint: weights for it, over its card's.
        skip_bad: leave out (and count) images that cannot be decoded.
        health: a labelled set for the k-NN check; default: the data themselves, where they have labels.
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
        health: str | None = None,
    ) -> None:
        self.method = get_method(method)
        self.data: PretrainSet = get_set(data)
        self.health = get_set(health) if health else self.data
        if health and not self.health.labelled:
            raise UserError(f"--health {health} has no labels for a k-NN check; choose a labelled set")
        if self.method.teacher and teacher is None:
            raise UserError(f"method {method} needs a teacher: --teacher NAME, e.g. --teacher mae_base")
        if not self.method.teacher and (teacher or teacher_checkpoint):
            raise UserError(f"method {method} has no teacher; leave --teacher out, or run one that distils")
        self.teacher, self.teacher_checkpoint = teacher, teacher_checkpoint
        self.skip_bad = skip_bad
        self.protocols = (method,)
        self.expected = {"train": self.data.official} if self.data.official else {}

    def pool(self, root: Path) -> Pool:
        """The training images; read once a process."""
        return _read(self.data, root)

    def health_pool(self, root: Path) -> Pool | None:
        """The images of the health check, if there is one."""
        return _read(self.health, root) if self.health.labelled else None

    def teacher_file(self) -> TeacherFile | None:
        """The teacher's weights.

        Raises:
            UserError: there are none.
        """
        from pretraining.methods.teacher import locate_teacher

        return locate_teacher(self.teacher, self.teacher_checkpoint) if self.teacher else None

    def check_data(self, root: Path, decode: Decode = "none") -> DataReport:
        """Read lists (or pixels) and compare with the official count; ``decode`` opens images."""
        pool = self.pool(root)
        official, count = self.data.official, len(pool)
        departures = list(pool.departures)
        if official is not None and count != official:
            departures.append(f"{count:,} images where the official training split has {official:,}")
        if decode != "none":
            for index in range(count) if decode == "all" else range(0, count, max(1, count // 100)):
                pool.image(index)
        return DataReport(pool.fingerprint, {"train": count}, departures=tuple(departures))

    def plan(self, request: Request, data: DataReport) -> Plan:
        """Resolve ``configs/<method>_<architecture>.py``, ``<method>_<data>.py`` or ``<method>.py``.

        The method is made once, so that what does not fit is said before anything is written.
        """
        from engine.config import load_protocol
        from pretraining.run import build

        card = request.card
        names = (f"{request.protocol}_{card.architecture}", f"{request.protocol}_{self.data.name}", request.protocol)
        file = next(path for path in (CONFIGS / f"{name}.py" for name in names) if path.is_file())
        protocol = load_protocol(file, self.method.schema(), request.tier, request.overrides)
        recipe = protocol.recipe
        size = recipe.img_size or card.input_size[1]
        arguments: dict[str, Any] = {"img_size": size, "num_classes": 0, **masked_arguments(card.architecture)}
        teacher = self.teacher_file()
        build(self, request, recipe, arguments)
        interval = 1 if recipe.by_epoch else recipe.val_interval
        return Plan(
            protocol_version=protocol.version,
            config={
                "recipe": recipe.identity(),
                "data": self.data.name,
                "health": self.health.name if self.health.labelled else None,
                "teacher": teacher.identity() if teacher else None,
            },
            neutral={**recipe.neutral(), "skip_bad": self.skip_bad},
            arguments=arguments,
            expected=-(-recipe.length // interval),
            steps=("train", "export the encoder", "draw"),
        )

    def run(self, request: Request, plan: Plan, out: Path) -> Outcome:
        """Train in ``out``."""
        from pretraining.run import pretrain

        return pretrain(self, request, plan, out)

    def draw_run(self, folder: Path, record: Any) -> list[Path]:
        """The pictures that the run drew at its end: reconstructions, curves."""
        return drawn(folder)


def drawn(folder: Path) -> list[Path]:
    """The pictures in a run's folder."""
    return sorted((folder / "pictures").glob("*.png"))


def masked_arguments(architecture: str) -> dict[str, Any]:
    """What an architecture is made with for pre-training: Hiera pools queries at two of its three stage changes."""
    return {"q_pool": 2} if architecture.startswith("hiera") else {}


@lru_cache(maxsize=2)
def _read(data: PretrainSet, root: Path) -> Pool:
    from pretraining.data import readers

    pool: Pool = getattr(readers, data.reader)(root)
    return pool
