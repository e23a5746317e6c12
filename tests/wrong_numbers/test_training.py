"""Training: the rates of every step, runs that diverge, what batch norm sees, and settings beyond any sense."""

from __future__ import annotations

import itertools
import math
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from classification import finetune
from classification.digits_task import DIGITS
from classification.model import Classifier
from classification.plan import _describe_training, count_training_items
from classification.probes.linear import LogisticFit, select_fit
from classification.probes.linear_sgd import select_head, train_heads
from classification.probes.probe_outcome import score_rows
from classification.recipe import (
    HeadOptimizerConfig,
    ImageRecipe,
    KnnRecipe,
    LinearRecipe,
    LogGrid,
    SearchSpace,
)
from engine import lr_schedule
from engine.knn import predict_knn
from engine.lr_schedule import build_lr_schedulers, count_last_batch, count_steps_per_epoch, list_schedule_fixes
from engine.recipe import OptimizerConfig
from engine.training import _build_train_loader, train_model
from engine.training_checks import divergence
from engine.training_checks.batch_norm import describe_batch_norm
from engine.training_checks.divergence import DivergenceHook
from engine.training_checks.norm_groups import require_whole_groups
from foundation.errors import ConfigError, NonFiniteError, TrainingDivergedError, UserError
from pretraining.knn_monitor import require_monitor_images
from pretraining.recipe import KnnMonitorSettings, PretrainRecipe
from pretraining.task import PretrainTask
from segmentation.data.labels import LabelSpace
from segmentation.evaluation import ImagePrediction, SegmentationMetric
from segmentation.tasks import MINI_ADE
from tests.classification.probes.frozen_features import make_request
from tests.classification.test_finetune import run as run_digits
from tests.conftest import ROOT
from tests.engine.make import make_recipe
from tests.engine.test_lr_schedule import trajectory
from tests.limits import HANG_SECONDS
from tests.tracking.make import make_tracker_model
from tests.wrong_numbers.small_training import (
    SGD,
    SmallNet,
    list_group_norms,
    make_job,
    train_small_tracker,
)
from tracking.inference.backend import NumpyHeadMaps
from tracking.inference.sequential import name_failed_frame
from tracking.inference.tracker import Tracker
from tracking.models.group_batch_norm import GroupBatchNorm2d, GroupStatisticsHook
from tracking.models.losses import average_group_loss, focal_loss
from tracking.models.norm_groups import PAIR_WORDS
from tracking.protocols import load_protocol_recipe
from tracking.tasks import MINI_LASOT

PAIRS = [(warmup, total) for total in (1, 2, 3, 5, 12) for warmup in range(total)]

pytestmark = pytest.mark.filterwarnings("ignore:Detected call of")


def make_schedule(name: str, warmup: int, total: int, **changes: Any) -> Any:
    schedule = {"name": name, "warmup": warmup, "end_lr": 1e-5, "power": 2.0, "milestones": [3, 5], **changes}
    return make_recipe(epochs=None, iterations=total, schedule=schedule)


# 10: the schedule


@pytest.mark.parametrize("start", [0.0, 1e-4, 1e-2])
@pytest.mark.parametrize("name", ["cosine", "poly", "step"])
def test_every_step_has_the_rate_of_the_closed_form(name: str, start: float) -> None:
    full, low = 1e-2, max(start, 1e-10)
    for warmup, total in PAIRS:
        rates = [rate for (rate,) in trajectory(make_schedule(name, warmup, total, warmup_start=start))]
        left = total - warmup
        for step, rate in enumerate(rates):
            # a warm-up of one step is at its start, one of two steps at its start and at the full rate, and so on
            expected = low + (full - low) * step / max(warmup - 1, 1) if step < warmup else full
            if name == "step":
                expected *= 0.1 ** sum(step >= milestone for milestone in (3, 5))
            elif step >= warmup:
                time = (step - warmup) / (left if name == "cosine" else max(left - 1, 1))
                shape = (1 + math.cos(math.pi * time)) / 2 if name == "cosine" else (1 - time) ** 2
                expected = 1e-5 + (full - 1e-5) * shape
            assert rate == pytest.approx(expected, rel=1e-6, abs=1e-12), (warmup, total, step)


def test_exactly_the_runs_whose_rates_moved_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rates of earlier versions come from their own code: a warm-up that ended after its length."""

    def build_as_before(recipe: Any, steps: int) -> list[dict[str, Any]]:
        made = build_lr_schedulers(recipe, steps)
        if made[0]["type"] == "LinearLR":
            made[0]["end"] = recipe.schedule.warmup
        return made

    for name, (warmup, total), start in itertools.product(("cosine", "poly", "step"), PAIRS, (0.0, 1e-4, 1e-2)):
        recipe = make_schedule(name, warmup, total, warmup_start=start)
        now = trajectory(recipe)
        with monkeypatch.context() as patch:
            patch.setattr("tests.engine.test_lr_schedule.build_lr_schedulers", build_as_before)
            before = trajectory(recipe)
        fixes = list_schedule_fixes(recipe, 1)
        assert bool(fixes) == (now != before), (name, warmup, total, start)
        assert fixes in ([], [lr_schedule.ONE_STEP_WARMUP])


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_plan_counts_the_steps_that_the_loader_makes(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mmengine.dataset.sampler", "engine.training"):
        monkeypatch.setattr(f"{module}.get_dist_info", lambda: (0, processes))
    for items, drop_last in itertools.product(range(3, 40), (False, True)):  # also fewer than one batch
        job = make_job(tmp_path, items=items, recipe_batch_size=12, recipe_drop_last=drop_last)
        assert len(_build_train_loader(job)) == count_steps_per_epoch(job.recipe, items), (items, drop_last)


def test_a_set_that_is_smaller_than_a_batch_is_one_batch(tmp_path: Path) -> None:
    """Dropping it would leave an epoch without a step, and a training that changes nothing."""
    for items, sizes in ((5, [5]), (12, [12]), (23, [12]), (24, [12, 12])):
        job = make_job(tmp_path, items=items, recipe_batch_size=12, recipe_drop_last=True)
        assert [len(batch["item"]) for batch in _build_train_loader(job)] == sizes
        assert count_last_batch(job.recipe, items) == (5 if items == 5 else 0)
    # a stream of iterations repeats the set, so its batches are always complete
    job = make_job(
        tmp_path, items=5, recipe_batch_size=12, recipe_drop_last=True, recipe_epochs=None, recipe_iterations=4
    )
    assert len(next(iter(_build_train_loader(job)))["item"]) == 12
    assert count_last_batch(job.recipe, 5) == 0


def test_a_plan_says_that_a_set_is_one_batch_or_refuses_it(tmp_path: Path) -> None:
    (sentence,) = plan_digits("batch_size=2048", "drop_last=true").notes
    assert "1169 training images are fewer than one batch of 2048, so each epoch is one step" in sentence
    assert plan_digits("batch_size=512", "drop_last=true").notes == ()

    few = "there are 1169 training items, fewer than one batch of 2048; set batch_size to 1169 or less"
    task = PretrainTask("mae", "digits")
    asked = make_request("mae", checkpoint="random", overrides=("batch_size=2048", "drop_last=true"))
    with pytest.raises(UserError, match=few):
        task.plan(asked, task.check_data(tmp_path))
    mixed = make_recipe(drop_last=True, batch_size=2048).model_dump() | {"img_size": 32, "mixup": 0.8}
    recipe, data = ImageRecipe.model_validate(mixed), DIGITS.check_data(Path())
    with pytest.raises(UserError, match=few):
        _describe_training(recipe, make_request("finetune"), data, {})
    assert _describe_training(recipe.model_copy(update={"mixup": 0.0}), make_request("finetune"), data, {}) == {}


def plan_digits(*overrides: str, **changes: Any) -> Any:
    return DIGITS.plan(make_request("finetune", overrides=overrides, **changes), DIGITS.check_data(Path()))


def test_the_plans_mark_a_warm_up_of_one_step(tmp_path: Path) -> None:
    marked = {"fixes": ["one_step_warmup"]}
    few = {"tier": "short", "data_scale": 0.05}
    assert plan_digits(**few).config.items() >= marked.items(), "59 of 1,169 images are one batch of 64"
    assert "fixes" not in plan_digits("schedule.warmup=2", **few).config
    assert "fixes" not in plan_digits("schedule.warmup=0", **few).config
    assert "fixes" not in plan_digits(tier="short").config
    assert "fixes" in plan_digits("schedule.warmup_start=4e-3", "search.lr=[4e-3, 8e-3]", **few).config
    assert "fixes" not in plan_digits("schedule.warmup_start=4e-3", **few).config, "it starts at the full rate"

    task = PretrainTask("mae", "digits")
    words = ("epochs=4", "schedule.warmup=1", "schedule.warmup_peak=last_step", "batch_size=2048")
    asked = make_request("mae", backbone="vit_pico", checkpoint="random", overrides=words)
    assert task.plan(asked, task.check_data(tmp_path)).config.items() >= marked.items()
    fewer = replace(asked, overrides=(*words[:3], "batch_size=256"))
    assert "fixes" not in task.plan(fewer, task.check_data(tmp_path)).config

    asked = make_request("upernet", overrides=("iterations=4", "schedule.warmup=1"))
    assert MINI_ADE.plan(asked, MINI_ADE.check_data(tmp_path)).config.items() >= marked.items()
    assert "fixes" not in MINI_ADE.plan(replace(asked, overrides=()), MINI_ADE.check_data(tmp_path)).config

    asked = make_request("fast64", overrides=("pairs=16", "val_pairs=8"))
    assert MINI_LASOT.plan(asked, MINI_LASOT.check_data(tmp_path)).config.items() >= marked.items()
    assert "fixes" not in MINI_LASOT.plan(replace(asked, overrides=()), MINI_LASOT.check_data(tmp_path)).config


class CapturedError(Exception):
    """Carries a job out of the middle of a run."""


@pytest.mark.parametrize("train_on", ["train", "train+val"])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_a_plan_counts_the_items_that_are_trained_on(
    train_on: str, scale: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def capture(job: Any) -> None:
        raise CapturedError(len(job.train_dataset), job.run_id)

    monkeypatch.setattr(finetune, "train_model", capture)
    data = DIGITS.check_data(Path())
    asked = make_request("finetune", overrides=(f"train_on={train_on}",), data_scale=scale, run_id="abc")
    with pytest.raises(CapturedError) as caught:
        DIGITS.run(asked, DIGITS.plan(asked, data), tmp_path)
    assert caught.value.args == (count_training_items(data, train_on, scale), "abc")


# 11: runs that diverge


def list_stored_tensors(folder: Path) -> list[torch.Tensor]:
    states = [torch.load(path, weights_only=True)["state_dict"] for path in folder.rglob("*.pth")]
    return [value for state in states for value in state.values()]


@pytest.mark.parametrize("changes", [{}, {"val_dataset": None}, {"recipe_epochs": None, "recipe_iterations": 12}])
def test_a_training_that_diverges_stops_with_the_step_and_the_cures(tmp_path: Path, changes: dict[str, Any]) -> None:
    if "recipe_iterations" in changes:
        changes = {**changes, "recipe_val_interval": 3}
    job = make_job(tmp_path, recipe_optimizer=SGD | {"lr": 3e38}, **changes)
    with pytest.raises(TrainingDivergedError) as caught:
        train_model(job)
    said = str(caught.value)
    assert "the loss is not a finite number at step 2 (the last finite one was 0." in said or "step 3 (" in said, said
    assert said.endswith("lower optimizer.lr to a tenth, set clip_grad, or lengthen schedule.warmup")
    assert all(torch.isfinite(value).all() for value in list_stored_tensors(tmp_path))


def test_weights_that_leave_the_numbers_at_the_last_step_are_not_saved(tmp_path: Path) -> None:
    """The loss of the only step is finite, as it is computed before the step."""

    class Steep(SmallNet):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) * 1e20

    job = make_job(tmp_path, model=Steep(), items=8, recipe_epochs=1, recipe_optimizer=SGD | {"lr": 1e30})
    with pytest.raises(TrainingDivergedError, match=r"2 tensors of the model are not finite \(backbone\.1\.weight\)"):
        train_model(job)
    assert not list(tmp_path.rglob("*.pth"))


def test_a_rate_that_is_merely_high_is_no_divergence(tmp_path: Path) -> None:
    trained = train_model(make_job(tmp_path, recipe_optimizer=SGD | {"lr": 30.0}))
    assert trained.weights_path.is_file()


def test_a_mask_of_minus_infinity_in_a_users_module_is_no_divergence(tmp_path: Path) -> None:
    model = SmallNet()
    model.register_buffer("mask", torch.tensor([-math.inf, 0.0]))
    assert train_model(make_job(tmp_path, model=model)).weights_path.is_file()


def test_a_step_that_the_gradient_scaler_skips_is_no_divergence() -> None:
    """Only the loss itself counts: its multiple in fp16 overflows, the step is skipped, and the scale is lowered."""
    model, recipe = nn.Linear(2, 1), make_recipe(precision="fp16")
    hook, scaler = DivergenceHook(recipe), torch.amp.GradScaler("cpu", init_scale=2.0**127)
    optimizer, given = torch.optim.SGD(model.parameters(), lr=0.1), model.weight.detach().clone()
    hook.before_train(type("Runner", (), {"model": model}))
    for step in range(20):
        loss = (model(torch.tensor([[30.0, 40.0]])) - 100).square().mean()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step == 0:
            assert torch.equal(model.weight, given), "the first step was skipped"
        runner = type("Runner", (), {"model": model, "iter": step, "max_iters": 20})
        hook.after_train_iter(runner, step, outputs={"loss": loss / 1e30})
    hook.after_train_epoch(type("Runner", (), {"model": model, "iter": 20}))


def test_losses_are_looked_at_every_few_steps_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look waits for the GPU."""
    looks: list[int] = []
    real = DivergenceHook.require_finite_losses
    monkeypatch.setattr(DivergenceHook, "require_finite_losses", lambda hook: (looks.append(0), real(hook))[1])
    train_model(make_job(tmp_path, recipe_epochs=2, items=8 * 25))
    assert len(looks) == 5 + 2, "at 10, 20, 30, 40 and 50 steps, and at the end of each epoch"
    assert divergence.CHECK_INTERVAL == 10


def test_a_search_skips_what_diverges_and_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run_digits(tmp_path, "search.lr=[2e-3, 1e30]")
    assert outcome.selection.chosen.startswith("lr0.002-decay1")
    assert outcome.details == {"diverged": ["lr1e+30-decay1"]}
    assert "lr1e+30-decay1 is not chosen from: the training diverged" in capfd.readouterr().err
    with pytest.raises(TrainingDivergedError, match=r"with every setting of the search \(lr1e\+29-decay1, lr1e\+30-de"):
        run_digits(tmp_path, "search.lr=[1e29, 1e30]")


def make_fit(strength: float, weights: list[list[float]]) -> LogisticFit:
    return LogisticFit(strength, np.array(weights), np.zeros(2), True)


def test_a_fit_that_diverged_is_not_chosen_from(capfd: pytest.CaptureFixture[str]) -> None:
    """argmax would call everything the first class, which is right for every item here."""
    features, labels = np.ones((4, 1), np.float32), np.zeros(4, np.int64)
    lost, wrong = make_fit(0.1, [[math.nan], [0.0]]), make_fit(1.0, [[0.0], [1.0]])
    choice = select_fit(iter([lost, wrong]), features, labels)
    assert (choice.fit, choice.diverged, choice.list_details()) == (wrong, [0.1], {"diverged_strengths": [0.1]})
    assert "1 of 2 fits diverged; they are not chosen from" in capfd.readouterr().err
    with pytest.raises(TrainingDivergedError, match=r"diverged at every C; lower grid\.low"):
        select_fit(iter([lost]), features, labels)
    assert select_fit(iter([wrong]), features, labels).list_details() == {}


def test_the_record_names_the_rates_of_heads_that_diverged() -> None:
    values = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
    labels = (values[:, 0] > 0).astype(np.int64)
    grid = LogGrid(low=1.0, high=1.0, count=1)
    optimizer = HeadOptimizerConfig(name="SGD", lr=grid, batch_size=16, epochs=2, warmup=0)
    heads = train_heads(values, labels, optimizer, [0.1, 1e42], seed=0)
    assert select_head(heads, values, labels).diverged == [1]
    assert select_head(heads, values, labels).head == 0


def test_outputs_that_are_not_finite_have_no_score_and_name_their_item() -> None:
    chances = np.array([[0.5, 0.5], [math.nan, 0.5]])
    with pytest.raises(NonFiniteError, match="the outputs for test image 8 are not finite"):
        score_rows(np.zeros(2, np.int64), chances, first_item=7)
    assert len(score_rows(np.zeros(1, np.int64), chances[:1])) == 1

    bank, queries = np.ones((4, 2), np.float32), np.ones((3, 2), np.float32)
    queries[2, 1] = math.nan
    with pytest.raises(NonFiniteError, match="the features of query image 2 are not finite"):
        predict_knn(bank, np.arange(4), queries, 1, 0.07)
    bank[1, 0] = math.inf
    with pytest.raises(NonFiniteError, match="the features of bank image 1 are not finite"):
        predict_knn(bank, np.arange(4), queries[:2], 1, 0.07, block_sizes=(1, 1))

    images, items = torch.ones(2, 3, 2, 2), torch.tensor([4, 5])
    images[1] = math.inf
    with torch.no_grad(), pytest.raises(NonFiniteError, match="the outputs for image 5 are not finite"):
        Classifier(SmallNet())(images, torch.zeros(2, dtype=torch.long), items, mode="predict")

    metric = SegmentationMetric(["a", "b"], LabelSpace(2, 0, ()))
    flat = torch.zeros(2, 2, dtype=torch.uint8)
    metric.process(None, [ImagePrediction(0, flat, flat)])
    with pytest.raises(NonFiniteError, match="the outputs for image b are not finite"):
        metric.process(None, [ImagePrediction(1, flat, flat, is_finite=False)])


def test_a_tracker_whose_scores_are_not_finite_gives_no_box() -> None:
    from tracking.data.pair import CropSizes
    from tracking.inference.backend import TorchNetwork

    model = make_tracker_model("vit_pico", 32, 64, head_channels=16)
    tracker = Tracker(TorchNetwork(model), CropSizes(32, 64, 2.0, 4.0))
    frame = np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)
    tracker.init(frame, [20, 20, 30, 30])
    tracker.update(frame)
    with torch.no_grad():
        model.head.score[-1].bias.fill_(math.nan)
    video: Any = type("Video", (), {"name": "cat-1"})
    words = "sequence cat-1, frame 3: the outputs of tracker bench are not finite"
    with pytest.raises(NonFiniteError, match=words), name_failed_frame(video, 2):
        tracker.update(frame)
    maps = NumpyHeadMaps(*(np.full(shape, math.nan, np.float32) for shape in ((8, 8), (2, 8, 8), (2, 8, 8))))
    with pytest.raises(NonFiniteError):
        tracker.decode_box(maps)


def test_a_segmentor_notes_logits_that_are_not_finite() -> None:
    from backbones.registry import get_card
    from segmentation.models.segmentor import build_segmentor
    from tests.segmentation.make import make_recipe

    model = build_segmentor(make_recipe("mini_ade_linear"), get_card("vit_nano"), 150, "BN").eval()
    data = {"inputs": [torch.zeros(3, 70, 64, dtype=torch.uint8)], "truth": [torch.zeros(70, 64)], "item": [0]}
    for value, finite in ((0.0, True), (math.nan, False), (math.inf, False)):
        model.decode_head.conv_seg.bias.data[149] = value
        (found,) = model.test_step(data)
        assert found.is_finite == finite


# 12: what batch norm sees


@pytest.fixture(scope="module")
def whole_step(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return train_small_tracker(tmp_path_factory.mktemp("whole"))


def require_same_step(found: dict[str, Any], whole: dict[str, Any], loss_too: bool = True) -> None:
    if loss_too:
        assert found["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    for name, value in whole["state"].items():
        assert torch.allclose(found["state"][name], value, rtol=1e-5, atol=1e-7), name


def test_groups_in_one_piece_and_in_several_make_the_same_step(whole_step: dict[str, Any], tmp_path: Path) -> None:
    """Weights after one step of plain SGD are the gradient; the running statistics are in the state, too."""
    start = make_tracker_model("vit_pico", 32, 64, head_channels=16).state_dict()
    moved = [name for name, value in whole_step["state"].items() if not torch.allclose(value, start[name])]
    assert any("running_mean" in name for name in moved) and any("blocks" in name for name in moved)
    for pieces in (2, 3, 4):
        require_same_step(train_small_tracker(tmp_path, pieces=pieces), whole_step)


@pytest.mark.soak  # tests/engine/processes/test_proofs.py trains a tracker's groups in two processes in every suite
def test_groups_in_two_processes_make_the_same_step(whole_step: dict[str, Any], tmp_path: Path) -> None:
    # what torchrun sets, without the seconds that it takes itself
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": "2"}
    children = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.wrong_numbers.small_training", str(tmp_path)],
            env=os.environ
            | shared
            | {"RANK": rank, "LOCAL_RANK": rank, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    said = [child.communicate(timeout=HANG_SECONDS)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], said[0][-2000:] + said[1][-2000:]
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    for found in (first, second):
        require_same_step(found, whole_step, loss_too=False)
    both = [(one + two) / 2 for one, two in zip(first["losses"], second["losses"], strict=True)]
    assert both == pytest.approx(whole_step["losses"], rel=1e-5)
    # a training without groups: each process has statistics of its own, but validates with those that are saved
    assert all(torch.equal(one, two) for one, two in zip(first["buffers"], second["buffers"], strict=True))


def test_an_incomplete_batch_has_the_same_groups_in_pieces(tmp_path: Path) -> None:
    """16 + 10 pairs; the ten are groups of 4, 3 and 3."""
    whole = train_small_tracker(tmp_path, pairs=26)
    require_same_step(train_small_tracker(tmp_path, pieces=2, pairs=26), whole)


def test_one_group_is_torchs_own_batch_norm() -> None:
    ours, theirs = GroupBatchNorm2d(3, 32), nn.BatchNorm2d(3)
    for images in torch.randn(3, 8, 3, 4, 4, generator=torch.Generator().manual_seed(0)):
        assert torch.equal(ours(images), theirs(images))
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in theirs.state_dict().items())
    assert torch.equal(ours.eval()(images), theirs.eval()(images))


def test_a_step_moves_the_statistics_once_by_the_mean_of_its_groups() -> None:
    images = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 2
    norm = GroupBatchNorm2d(3, 4)
    norm(images)
    groups = [images[group::2] for group in (0, 1)]
    mean = sum(group.mean((0, 2, 3)) for group in groups) / 2
    var = sum(group.var((0, 2, 3)) for group in groups) / 2
    assert torch.allclose(norm.running_mean, 0.1 * mean)
    assert torch.allclose(norm.running_var, 0.9 + 0.1 * var)
    assert int(norm.num_batches_tracked) == 1


def test_the_focal_loss_is_normalised_by_each_groups_own_centers() -> None:
    draw = torch.Generator().manual_seed(0)
    scores, targets = torch.rand(6, 4, 4, generator=draw).clamp(0.1, 0.9), torch.zeros(6, 4, 4)
    for pair in (0, 2, 4, 5):  # group 0 (pairs 0, 2, 4) has three centers, group 1 (1, 3, 5) has one
        targets[pair, 1, 1] = 1
    expected = (focal_loss(scores[0::2], targets[0::2]) + focal_loss(scores[1::2], targets[1::2])) / 2
    assert torch.allclose(average_group_loss(scores, targets, 3), expected)
    assert not torch.allclose(expected, focal_loss(scores, targets))
    assert torch.equal(average_group_loss(scores, targets, 6), focal_loss(scores, targets))


@pytest.mark.parametrize(
    ("batch", "accumulate", "processes", "pairs", "message"),
    [
        (32, 1, 2, 256, "smaller norm_group, which is another protocol, or start fewer processes"),
        (32, 8, 1, 256, "smaller norm_group, which is another protocol, or accumulate=1 or lower"),
        (128, 8, 1, 256, "accumulate=4 or lower"),
        (128, 4, 2, 256, "accumulate=2 or lower"),
        (96, 1, 2, 192, "a batch of 96 pairs is 3 groups of at most 32"),
        (128, 1, 4, 100 + 128, ""),
        (128, 1, 2, 128 + 8, "a batch of 8 pairs is 1 group of at most 32"),
        (32, 1, 1, 250, ""),
        (128, 4, 1, 250, ""),
        (128, 2, 2, 256, ""),
        (48, 2, 1, 96, ""),
    ],
)
def test_a_group_is_never_torn_apart(batch: int, accumulate: int, processes: int, pairs: int, message: str) -> None:
    recipe = make_recipe(batch_size=batch, accumulate=accumulate)
    if not message:
        require_whole_groups(recipe, 32, pairs, processes, PAIR_WORDS)
        return
    with pytest.raises(ConfigError, match=message):
        require_whole_groups(recipe, 32, pairs, processes, PAIR_WORDS)


def test_a_tracking_run_is_refused_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = MINI_LASOT.check_data(tmp_path)
    asked = make_request("fast64", overrides=("accumulate=8",))
    with pytest.raises(ConfigError, match="accumulate 8 would tear apart the 1 group"):
        MINI_LASOT.plan(asked, data)
    smaller = MINI_LASOT.plan(replace(asked, overrides=("accumulate=8", "norm_group=2")), data)
    assert smaller.config["recipe"]["norm_group"] == 2, "another id"
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="which 2 processes cannot share out"):
        MINI_LASOT.plan(replace(asked, overrides=()), data)


def test_the_size_of_the_groups_is_in_the_id_where_it_counts() -> None:
    assert "norm_group" not in load_protocol_recipe("fast128").identity_settings(), "32 pairs are one group, as before"
    assert load_protocol_recipe("fast128", ["norm_group=64"]).identity_settings()["norm_group"] == 64
    assert load_protocol_recipe("fast128", ["batch_size=64"]).identity_settings()["norm_group"] == 32
    assert load_protocol_recipe("ostrack256").identity_settings()["norm_group"] == 32


def test_the_papers_protocols_have_a_new_version_and_the_small_ones_their_old() -> None:
    from engine.config import load_protocol
    from tracking.protocols import CONFIGS
    from tracking.recipe import TrackingRecipe

    names = ("ostrack256", "ostrack256_ce", "ostrack384", "fast128", "fast64")
    versions = [load_protocol(CONFIGS / f"{name}.py", TrackingRecipe, "full").version for name in names]
    # 4: frames are mirrored before they are cut, 468 steps in an epoch, the warm-up of the elimination
    assert versions == [4, 4, 4, 1, 2]


def test_the_trained_tracker_has_the_groups_of_its_recipe() -> None:
    from backbones.registry import get_card
    from tracking.inference.tracker_factory import build_tracker_model

    card = get_card("vit_pico")
    backbone = make_request("fast64").prepare_backbone({"num_classes": 0}).model
    model = build_tracker_model(backbone, card, load_protocol_recipe("fast64", ["norm_group=7"]))
    assert {norm.norm_group for norm in list_group_norms(model)} == {7} and model.norm_group == 7


def test_the_training_of_a_tracker_knows_its_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(job: Any) -> None:
        raise CapturedError(job)

    monkeypatch.setattr("tracking.protocols.train_model", capture)
    asked = make_request("fast64", run_id="abc")
    plan = MINI_LASOT.plan(asked, MINI_LASOT.check_data(tmp_path))
    with pytest.raises(CapturedError) as caught:
        MINI_LASOT.run(asked, plan, tmp_path)
    (job,) = caught.value.args
    (hook,) = (hook for hook in job.hooks if isinstance(hook, GroupStatisticsHook))
    assert hook.norms == list(list_group_norms(job.model)) and len(hook.norms) == 12
    assert (job.norm_group, job.run_id) == (32, "abc")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((False, 64, 4, 2), {}),
        ((True, 64, 1, 1), {}),
        ((True, 64, 1, 2), {}),
        ((True, 64, 4, 1), {"images_per_statistic": 16, "pieces_per_step": 4, "synchronised": True}),
        ((True, 64, 4, 2), {"images_per_statistic": 16, "pieces_per_step": 4, "synchronised": True}),
        # pieces that would leave a process without an image are fewer, in every batch or in the last one
        ((True, 8, 4, 4), {"images_per_statistic": 4, "pieces_per_step": 2, "synchronised": True}),
        ((True, 64, 4, 2, 8), {"images_per_statistic": 16, "pieces_per_step": 4, "synchronised": True}),
        (
            (True, 64, 4, 2, 7),
            {"images_per_statistic": 16, "pieces_per_step": 4, "synchronised": True, "pieces_of_last_batch": 3},
        ),
    ],
)
def test_what_batch_norm_sees(arguments: tuple[bool, int, int, int], expected: dict[str, Any]) -> None:
    assert describe_batch_norm(*arguments) == expected


def test_two_ways_to_the_same_statistics_are_two_ids_in_segmentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces have statistics of their own; processes share theirs, and so the id of one process."""
    data, asked = MINI_ADE.check_data(tmp_path), make_request("upernet")
    whole = MINI_ADE.plan(asked, data).config
    pieces = MINI_ADE.plan(replace(asked, overrides=("accumulate=2",)), data).config
    monkeypatch.setenv("WORLD_SIZE", "2")
    processes = MINI_ADE.plan(asked, data).config
    assert (whole["norm_batch"], pieces["norm_batch"], processes["norm_batch"]) == (8, 4, 8)
    assert "batch_norm" not in whole, "runs of one process and one piece keep their id"
    assert pieces["batch_norm"] == {"images_per_statistic": 4, "pieces_per_step": 2, "synchronised": True}
    assert processes == whole
    assert MINI_ADE.plan(replace(asked, overrides=("accumulate=2",)), data).config == pieces


def test_pieces_are_neutral_in_classification_without_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = plan_digits(), plan_digits("accumulate=4")
    assert whole.config == pieces.config, "vit_pico has none"
    monkeypatch.setattr("engine.task.RunRequest.describe_model", lambda *_: type("Model", (), {"has_batch_norm": True}))
    assert plan_digits().config == whole.config
    assert plan_digits("accumulate=4").config["batch_norm"]["images_per_statistic"] == 16
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert plan_digits().config == whole.config, "processes share the statistics"


def test_a_pre_training_says_what_its_batch_norm_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = {}
    for processes in ("1", "2"):
        monkeypatch.setenv("WORLD_SIZE", processes)
        for method in ("mae", "mocov3"):
            task = PretrainTask(method, "digits")
            asked = make_request(method, checkpoint="random")
            configs[method, processes] = task.plan(asked, task.check_data(tmp_path)).config
    assert configs["mae", "2"] == configs["mae", "1"]
    assert configs["mocov3", "2"] == configs["mocov3", "1"], "processes share the statistics"
    assert not {"batch_norm", "repeated_items"} & {*configs["mae", "2"], *configs["mocov3", "2"]}
    # no method of bench has both batch norm and pieces; one of a plug-in may
    monkeypatch.setattr("pretraining.run.uses_batch_norm", lambda method: True)
    task = PretrainTask("mae", "digits")
    asked = make_request("mae", checkpoint="random", overrides=("accumulate=2",))
    seen = task.plan(asked, task.check_data(tmp_path)).config
    assert seen["batch_norm"]["pieces_per_step"] == 2


def test_mixup_is_refused_where_a_process_gets_an_odd_number(monkeypatch: pytest.MonkeyPatch) -> None:
    base = make_recipe(drop_last=True, batch_size=6).model_dump() | {"img_size": 32, "mixup": 0.8}
    recipe, asked, data = ImageRecipe.model_validate(base), make_request("finetune"), DIGITS.check_data(Path())
    assert _describe_training(recipe, asked, data, {}) == {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"each of the 2 processes needs an even number.* a multiple of 4"):
        _describe_training(recipe, asked, data, {})
    assert _describe_training(recipe.model_copy(update={"batch_size": 8}), asked, data, {}) is not None
    assert _describe_training(recipe.model_copy(update={"mixup": 0.0}), asked, data, {}) is not None


def test_items_that_processes_repeat_are_in_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """1,169 training digits leave a last batch of one in batches of eight: two processes take an image twice."""
    recipe = ImageRecipe.model_validate(make_recipe(batch_size=8).model_dump() | {"img_size": 32, "mixup": 0.0})
    asked, data = make_request("finetune"), DIGITS.check_data(Path())
    assert "repeated_items" not in _describe_training(recipe, asked, data, {})
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert data.splits["train"] % 2 == 1
    assert _describe_training(recipe, asked, data, {"num_classes": 10})["repeated_items"] == [1]
    for count in (1_168, 1_170, 1_171):
        shared = replace(data, splits={**data.splits, "train": count})
        assert "repeated_items" not in _describe_training(recipe, asked, shared, {"num_classes": 10})
    dropped = recipe.model_copy(update={"drop_last": True})
    assert "repeated_items" not in _describe_training(dropped, asked, data, {"num_classes": 10})


# 15: settings beyond any sense


@pytest.mark.parametrize("value", [1e-320, 1e400, 0.0, math.nan, -1.0])
@pytest.mark.parametrize(
    "build",
    [
        lambda value: KnnRecipe(img_size=32, temperature=value),
        lambda value: KnnMonitorSettings(temperature=value),
        lambda value: LogGrid(low=value, high=1.0, count=3),
        lambda value: LogGrid(low=1.0, high=value, count=3),
        lambda value: OptimizerConfig(name="SGD", lr=value),
        lambda value: SearchSpace(lr=[1e-3, value]),
        lambda value: SearchSpace(layer_decay=[value]),
        lambda value: LinearRecipe(img_size=32, grid=LogGrid(low=1, high=1, count=1), tolerance=value),
        lambda value: HeadOptimizerConfig(name="LARS", lr=LogGrid(low=1, high=1, count=1), batch_size=8, trust=value),
    ],
)
def test_values_beyond_any_sense_are_refused(build: Any, value: float) -> None:
    with pytest.raises(ValueError, match="Input should be"):
        build(value)


def test_sensible_values_are_allowed() -> None:
    KnnRecipe(img_size=32, k=1, temperature=1e-4)
    LogGrid(low=1e-12, high=1e12, count=1000)
    SearchSpace(lr=[1e-12, 1000.0], layer_decay=[0.65, 1.0])
    OptimizerConfig(name="SGD", lr=1000.0, betas=[0.0, 0.999])


def test_other_settings_that_would_fail_in_the_middle_are_refused() -> None:
    with pytest.raises(ValueError, match="less than 1"):
        OptimizerConfig(name="AdamW", lr=1e-3, betas=[0.9, 1.0])
    with pytest.raises(ValueError, match=r"warmup_start 0\.02 must not be above optimizer\.lr 0\.01"):
        make_schedule("cosine", 2, 5, warmup_start=0.02)
    with pytest.raises(ConfigError, match=r"warmup_start 0\.002 must not be above the lowest rate of search\.lr"):
        plan_digits("schedule.warmup_start=2e-3", "search.lr=[1e-3, 4e-3]")
    with pytest.raises(ValueError, match="less than or equal to 1000"):
        LogGrid(low=1e-3, high=1.0, count=10**9)


def test_k_above_the_images_that_vote_is_refused_before_anything_is_computed() -> None:
    data = DIGITS.check_data(Path())

    def plan(*overrides: str, scale: float = 1.0) -> Any:
        return DIGITS.plan(make_request("knn", overrides=overrides, data_scale=scale), data)

    with pytest.raises(UserError, match="k 1170 is above the 1,169 images that vote; set k=1169 or lower"):
        plan("k=1170")
    assert plan("k=1169") and plan("k=1170", "train_on=train+val")
    with pytest.raises(UserError, match="k 120 is above the 119 images"):
        plan("k=120", scale=0.1)
    assert plan("k=119", scale=0.1)
    bank = np.eye(3, dtype=np.float32)
    with pytest.raises(UserError, match="k 4 is above the 3 images that vote"):
        predict_knn(bank, np.arange(3), bank, 4, 0.07)
    assert predict_knn(bank, np.arange(3), bank, 3, 0.07).predictions.tolist() == [0, 1, 2]


def test_k_of_the_health_check_is_refused_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"knn_monitor\.k 20 is above the 10 images that vote"):
        require_monitor_images(510, KnnMonitorSettings())
    require_monitor_images(520, KnnMonitorSettings())
    with pytest.raises(ValueError, match=r"knn_monitor\.k 20 is above knn_monitor\.bank_size 10"):
        PretrainRecipe.model_validate(make_recipe().model_dump() | {"knn_monitor": {"bank_size": 10}})
    task = PretrainTask("mae", "digits")
    asked = make_request("mae", checkpoint="random", overrides=("knn_monitor.num_queries=1165",))
    with pytest.raises(UserError, match=r"knn_monitor\.k 20 is above the 4 images that vote"):
        task.plan(asked, task.check_data(tmp_path))


def test_k_of_the_probes_of_layers_is_refused_for_the_smallest_share(tmp_path: Path) -> None:
    from analysis.layers import run_layers
    from analysis.request import BackboneChoice, LayersRequest

    asked = LayersRequest(
        backbone=BackboneChoice("vit_pico"), task=DIGITS, out=tmp_path, parts=("probe",), data_scales=(1.0, 0.01),
        run_cell=lambda *_: pytest.fail("nothing is trained"),
    )  # fmt: skip
    with pytest.raises(UserError, match="k 20 is above the 10 images that vote"):
        run_layers(asked)
