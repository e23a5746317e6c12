"""Write training curves to MLflow; mmengine's own backend fails at the end of a training without a config file."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.registry import VISBACKENDS
from mmengine.visualization.vis_backend import BaseVisBackend, force_init_env

EXPERIMENT = "bench"
"""Name of the MLflow experiment; each training is one run in it."""


@VISBACKENDS.register_module()
class BenchMlflowBackend(BaseVisBackend):
    """Writes scalars to the store that MLflow is configured for: ``$MLFLOW_TRACKING_URI``, else MLflow's default.

    mmengine's backend instead creates a file store in each run's folder, which MLflow 3 refuses. When it is closed, it
    also reads a configuration, which bench does not give to mmengine.

    Args:
        save_dir: folder of the training's logs, ``<run>/logs/<time>/vis_data``; the run's name is taken from it.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__(save_dir)
        self._run_name = Path(save_dir).resolve().parents[2].name  # of <run>
        self._mlflow: Any = None

    def _init_env(self) -> None:
        # imported at the first value, so that MLflow is needed only if it is chosen as a logger
        self._mlflow = importlib.import_module("mlflow")
        self._mlflow.set_experiment(EXPERIMENT)
        self._mlflow.start_run(run_name=self._run_name)

    @property
    @force_init_env
    def experiment(self) -> Any:
        """The module ``mlflow``, after a run was started."""
        return self._mlflow

    @force_init_env
    def add_scalar(self, name: str, value: Any, step: int = 0, **_: Any) -> None:
        """Write one value.

        Args:
            name: name of the curve.
            value: a number, or a tensor or array with one element.
            step: iteration or epoch.
        """
        self._mlflow.log_metric(name, float(value), step)

    @force_init_env
    def add_scalars(
        self, scalar_dict: Mapping[str, Any], step: int = 0, file_path: str | None = None, **_: Any
    ) -> None:
        """Write several values of one step.

        Args:
            scalar_dict: values by name of the curve.
            step: iteration or epoch.
            file_path: not used; part of mmengine's interface.
        """
        self._mlflow.log_metrics({name: float(value) for name, value in scalar_dict.items()}, step)

    def close(self) -> None:
        """End the run, if one was started."""
        if self._mlflow is not None:
            self._mlflow.end_run()
            self._mlflow = None
