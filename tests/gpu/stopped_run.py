"""A run that is interrupted in its second epoch, as by Ctrl-C, and begun again."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from mmengine.runner import EpochBasedTrainLoop

from litevit_bench.cli import main


def run_with_stop(words: tuple[str, ...]) -> None:
    """Run a training of several epochs twice; the first time it is interrupted in its second epoch."""
    run_epoch = EpochBasedTrainLoop.run_epoch

    def stop_in_second(loop: Any) -> None:
        if loop.epoch == 1:
            raise KeyboardInterrupt
        run_epoch(loop)

    with patch.object(EpochBasedTrainLoop, "run_epoch", stop_in_second):
        assert main(list(words)) == 130
    assert main(list(words)) == 0
