"""What the long loops say where there is no terminal: label, count, seconds left."""

from __future__ import annotations

import re

import numpy as np
import pytest

from analysis.inputs.image_subset import sample_images
from classification.probes.linear import fit_logistic_path
from classification.probes.linear_sgd import train_heads
from classification.recipe import HeadOptimizerConfig, LogGrid
from tests.analysis.inputs.test_image_subset import Items
from tests.classification.probes.frozen_features import make_frozen

FEATURES = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
LABELS = np.arange(40) % 2


@pytest.fixture(autouse=True)
def _speak_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.progress_bar.LOG_INTERVAL_SECONDS", -1.0)


def read_lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines said so far, without the seconds."""
    return [re.sub(r"\d+ s left", "N s left", line) for line in capsys.readouterr().err.splitlines()]


def test_features_of_a_split(capsys: pytest.CaptureFixture[str]) -> None:
    make_frozen(fingerprint="1" * 64, batch_size=200).get_features("val")
    label = "digits vit_pico knn: features of val,"
    assert read_lines(capsys) == [f"{label} 200/269 images, N s left", f"{label} 269/269 images, N s left"]


def test_strengths_of_a_regression(capsys: pytest.CaptureFixture[str]) -> None:
    list(fit_logistic_path(FEATURES, LABELS, [0.1, 1.0], 1e-3, 100, label="digits linear"))
    assert read_lines(capsys) == [f"digits linear: {done}/2 strengths fitted, N s left" for done in (1, 2)]


def test_epochs_of_heads(capsys: pytest.CaptureFixture[str]) -> None:
    optimizer = HeadOptimizerConfig(
        name="SGD", lr=LogGrid(low=1.0, high=1.0, count=1), batch_size=20, epochs=2, warmup=1
    )
    train_heads(FEATURES, LABELS, optimizer, [0.1, 1.0, 2.0], seed=0, label="digits sgd")
    assert read_lines(capsys) == [f"digits sgd: epoch {done}/2 of 3 heads, N s left" for done in (1, 2)]


def test_images_of_an_analysis(capsys: pytest.CaptureFixture[str]) -> None:
    sample = sample_images(Items(8), 6)
    list(sample.iter_batches(4))
    assert not read_lines(capsys), "who gives no label hears nothing"
    list(sample.iter_batches(4, "cka"))
    assert read_lines(capsys) == [f"cka: {done}/6 images, N s left" for done in (3, 6)]
