"""Fine-tuning: train the complete backbone with a new classifier, choose epoch and settings on val, test once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn
from torch.utils.data import ConcatDataset

from backbones.create import CreatedBackbone
from classification.data.subset_sampling import LabeledSubset, sample_class_fraction
from classification.final_norm import restart_final_norm
from classification.metrics import PerItemAccuracy, ScoredItem, to_record_metrics
from classification.model import Classifier
from classification.plan import expand_search, list_training_splits
from classification.recipe import ClassificationRecipe
from engine.progress_bar import log_message
from engine.task import RunPlan, RunRequest, Task, TaskOutcome
from engine.training import TrainingJob, TrainingResult, evaluate_test_split, train_model
from foundation.errors import NonFiniteError, TrainingDivergedError
from results.records.record import ModelSelection

BuildClassifier = Callable[[nn.Module, ClassificationRecipe], Classifier]
"""Makes the model that is trained from a backbone and a recipe."""


class SplitDatasets(NamedTuple):
    """The data sets of a task.

    Attributes:
        train: training items, augmented when fine-tuning.
        val: validation items, without augmentation.
        test: test items, without augmentation.
        val_augmented: the validation items again, augmented as ``train``; used to train on both.
        fingerprint: SHA-256 of the data.
    """

    train: Any
    val: Any
    test: Any
    val_augmented: Any
    fingerprint: str


class SearchTrial(NamedTuple):
    """One training of the search.

    Attributes:
        name: the settings that distinguish it, such as ``lr0.03-decay0.75``; empty without a search.
        job: what was trained, and how.
        created: the backbone with its load report.
        result: the outcome of the training.
    """

    name: str
    job: TrainingJob
    created: CreatedBackbone
    result: TrainingResult


def run_finetune(
    request: RunRequest,
    plan: RunPlan,
    recipe: ClassificationRecipe,
    splits: SplitDatasets,
    out_dir: Path,
    task: Task,
    build_classifier: BuildClassifier = Classifier.from_recipe,
) -> TaskOutcome:
    """Train, choose on val, and test once.

    With ``train_on="train"`` every combination of the search is trained on train, and the best one on val is tested.
    With ``train_on="train+val"`` the search runs in the same way, but the winning settings are then trained once more
    on train and val, and the last epoch of that training is tested. Without a search this is the only training.

    Args:
        request: its start weights, seed, data scale and device are used.
        plan: gives the backbone's arguments.
        recipe: the recipe of the training.
        splits: data sets whose items are dicts of ``images``, ``labels`` and ``item``.
        out_dir: the run's folder; each training of a search gets a folder below it.
        task: gives name and metrics.
        build_classifier: makes the model that is trained from the backbone and the recipe of the training.

    Raises:
        TrainingDivergedError: the training diverged; in a search: every one of them, or the last one.
    """
    trial = partial(
        _train_trial, request=request, plan=plan, splits=splits, run_folder=out_dir, task=task, build=build_classifier
    )
    settings = dict(expand_search(recipe))
    done, diverged = _run_search(settings, trial) if "train" in list_training_splits(recipe) else ([], [])
    best = max(done, key=_get_val_score, default=None)  # max returns the first of equal trials
    chosen = best
    if recipe.train_on == "train+val":
        final = settings[best.name] if best else recipe
        chosen = trial("train+val" if best else "", final, "final" if best else "")
        done.append(chosen)
    assert chosen is not None
    # the only place where test is read
    tested = evaluate_test_split(chosen.job, chosen.result.weights_path)
    # mmengine puts the metric's default_prefix before each name: "accuracy/top1"
    values = {name.rpartition("/")[2]: value for name, value in tested.metric_values.items()}
    created = chosen.created
    return TaskOutcome(
        metrics=to_record_metrics(task.metrics, values, len(splits.test)),
        item_columns=ScoredItem._fields,
        item_rows=tested.metric.rows,
        selection=_describe_selection(best, chosen, sum(candidate.result.num_validations for candidate in done)),
        load_report=created.load_report,
        checkpoint_format=created.weight_file.format if created.weight_file else None,
        parameters=sum(parameter.numel() for parameter in created.model.parameters()),
        phase_seconds={
            "train_and_validate": sum(candidate.result.seconds for candidate in done),
            "test": tested.seconds,
        },
        details={"diverged": diverged} if diverged else {},
    )


def _run_search(
    settings: Mapping[str, ClassificationRecipe], train_trial: Callable[[str, ClassificationRecipe, str], SearchTrial]
) -> tuple[list[SearchTrial], list[str]]:
    """Train every setting of the search on train.

    Args:
        settings: the recipe of each training, by name.
        train_trial: trains one: its name, its recipe, and its folder below the run's.

    Returns:
        The trainings, and the names of those that diverged; val cannot choose them.

    Raises:
        TrainingDivergedError: all of them diverged.
    """
    done: list[SearchTrial] = []
    diverged: list[str] = []
    for name, one in settings.items():
        alone = one.model_copy(update={"train_on": "train"})  # val must stay unseen while it decides
        try:
            done.append(train_trial(name, alone, name))
        except NonFiniteError as error:
            if len(settings) == 1:
                raise
            log_message(f"{name} is not chosen from: {error}")
            diverged.append(name)
    if not done:
        raise TrainingDivergedError(
            f"the training diverged with every setting of the search ({', '.join(diverged)}); lower search.lr"
        )
    return done, diverged


def _train_trial(
    name: str,
    recipe: ClassificationRecipe,
    subfolder: str,
    *,
    request: RunRequest,
    plan: RunPlan,
    splits: SplitDatasets,
    run_folder: Path,
    task: Task,
    build: BuildClassifier,
) -> SearchTrial:
    # seeds the initial weights of the classifier (and of a random backbone): the same in every trial of a search
    created = request.build_backbone(plan.backbone_kwargs)
    if recipe.fresh_norm:
        created = restart_final_norm(created)
    both, first, second = recipe.train_on == "train+val", splits.train, splits.val_augmented
    if request.data_scale != 1:
        # the same fraction of val where val is trained on; the val that is chosen on stays complete
        first, second = (
            LabeledSubset(items, sample_class_fraction(items.labels, request.data_scale, request.seed))
            for items in (first, second)
        )
    job = TrainingJob(
        label=" ".join(filter(None, (task.name, request.card.name, name, f"seed {request.seed}"))),
        folder=run_folder / subfolder,
        model=build(created.model, recipe),
        train_dataset=ConcatDataset([first, second]) if both else first,
        val_dataset=None if both else splits.val,  # a split that is trained on cannot choose anything
        test_dataset=splits.test,
        build_metric=PerItemAccuracy,
        selection_metric="accuracy/top1",
        metric_unit="%",
        higher_is_better=True,
        recipe=recipe,
        seed=request.seed,
        device=request.device,
        # trainings of one search must not resume from each other's checkpoints either
        run_id=f"{request.run_id}/{subfolder}" if request.run_id and subfolder else request.run_id,
    )
    return SearchTrial(name, job, created, train_model(job))


def _get_val_score(trial: SearchTrial) -> float:
    assert trial.result.selected_validation is not None, "what is trained on train alone is validated"
    return trial.result.selected_validation.value


def _describe_selection(
    best_trial: SearchTrial | None, tested_trial: SearchTrial, num_validations: int
) -> ModelSelection:
    """Describe where the tested weights come from: the best epoch on val, or the last one on train and val.

    Args:
        best_trial: the trial that won on val; ``None`` if nothing was chosen.
        tested_trial: the trial whose weights were tested.
        num_validations: number of validations that were compared, over all trials.
    """
    recipe = tested_trial.job.recipe
    unit = "epoch" if recipe.by_epoch else "iteration"
    words = []
    if best_trial is not None and best_trial.name:
        words.append(best_trial.name)
    if tested_trial.result.selected_validation is not None:
        words.append(f"{unit} {tested_trial.result.selected_validation.step}")
    else:
        words.append(f"{unit} {recipe.length}, the last, of a training on train and val")
    what = ", ".join(words)
    if best_trial is None:
        return ModelSelection(split="none", metric="top1", candidates=1, chosen=what, value=None)
    return ModelSelection(
        split="val", metric="top1", candidates=num_validations, chosen=what, value=_get_val_score(best_trial)
    )
