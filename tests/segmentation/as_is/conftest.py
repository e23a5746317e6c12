"""One model of each kind, trained once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.cli.main import main
from engine.evaluation.model_source import ModelSource
from tests.segmentation.as_is.make import train_by_mmseg, write_config

RUN = ("run", "mini_ade", "--backbone", "vit_nano", "--protocol", "linear", "--tier", "smoke", "--device", "cpu")


class MmsegModel(NamedTuple):
    """A config, its checkpoint, mmseg's metrics and the label PNGs that mmseg's test loop wrote."""

    config: Path
    checkpoint: Path
    metrics: dict[str, float]
    predictions: Path

    @property
    def source(self) -> ModelSource:
        return ModelSource(config=self.config, checkpoint=self.checkpoint, device="cpu")


@pytest.fixture(scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> pytest.MonkeyPatch:
    """The tests' own cache, which the fixture of each test sets only later."""
    patch = pytest.MonkeyPatch()
    patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    return patch


@pytest.fixture(scope="session")
def mmseg_model(_cache: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> MmsegModel:
    """An UperNet, trained for four steps by plain mmseg on mini_ade."""
    with _cache.context():
        folder = tmp_path_factory.mktemp("mmseg")
        config = write_config(folder)
        checkpoint, metrics = train_by_mmseg(config)
    return MmsegModel(config, checkpoint, metrics, folder / "work" / "predictions")


@pytest.fixture(scope="session")
def run_folder(_cache: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of bench on mini_ade."""
    with _cache.context():
        out = tmp_path_factory.mktemp("runs")
        assert main([*RUN, "--out", str(out)]) == 0
    (folder,) = out.glob("mini_ade/*")
    return folder
