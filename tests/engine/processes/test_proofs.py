"""Two processes compute what one does, up to the order of float sums."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.processes.batch_norm import SynchronisedBatchNorm2d, combine_moments, synchronise_batch_norm
from foundation.errors import UserError
from tests.engine.processes import proofs
from tests.engine.processes.conftest import Findings
from tracking.models.group_batch_norm import GroupBatchNorm2d

# A float32 sum in another order differs by a few times its last bit, 1.2e-7. It is summed up over 20 steps: measured
# were 3e-7 of a loss, and 2e-6 where batch norm amplifies it (mocov3).
LOSS_TOLERANCE = {"mocov3": 2e-5}
USUAL_TOLERANCE = 3e-6


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return proofs.train_all(tmp_path_factory.mktemp("one"))


@pytest.mark.parametrize("share", proofs.SHARES)
@pytest.mark.parametrize("name", proofs.NORMS)
def test_batch_norm_of_two_processes_is_torchs_of_the_whole_batch(both: Findings, name: str, share: str) -> None:
    """Outputs, gradients and running statistics of three steps, and what they give in eval mode."""
    first, second = (found["norms"][name, share] for found in both.found)
    expected = proofs.normalize_batches(name, 7, synchronise=False)
    if name == "no running statistics":  # each process then normalizes by its own batch in eval mode, as torch's does
        del expected["evaluated"]
    # with a mean of 3,000 the input itself has but four digits after the point
    tolerance = 1e-4 if name == "far from 0" else 2e-6
    for key, value in expected.items():
        if key.startswith("gradient of"):
            found = first[key] + second[key]  # DistributedDataParallel adds them up
        elif key in ("outputs", "gradients", "evaluated"):
            found = torch.cat([first[key], second[key]], 1)
        else:
            found = first[key]
            assert torch.equal(first[key], second[key])
        assert found.dtype == value.dtype and found.shape == value.shape
        apart = float((found.double() - value.double()).abs().max())
        assert apart <= tolerance * max(1.0, float(value.abs().max())), key
    assert len(expected) >= 4


def test_moments_far_from_0_keep_their_digits() -> None:
    values = torch.randn(10, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1e7
    parts = torch.stack([summarize(values[:3]), summarize(values[3:])])
    mean, square_sum, count = combine_moments(parts)
    assert torch.allclose(mean, values.mean(0), rtol=1e-15)
    assert torch.allclose(square_sum / count, values.var(0, correction=0), rtol=1e-8)


def summarize(values: Tensor) -> Tensor:
    var, mean = torch.var_mean(values, 0, correction=0)
    return torch.cat([mean, var * len(values), torch.tensor([len(values)])])


def test_the_layers_of_a_model_are_exchanged_and_its_weights_are_not() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), GroupBatchNorm2d(4, 2), nn.InstanceNorm2d(4))
    before = {name: value.data_ptr() for name, value in model.state_dict().items()}
    synchronise_batch_norm(model)
    synchronise_batch_norm(model)  # a second training of the same model
    assert [type(part) for part in model][1:3] == [SynchronisedBatchNorm2d, GroupBatchNorm2d]
    assert {name: value.data_ptr() for name, value in model.state_dict().items()} == before

    class OwnNorm(nn.BatchNorm2d):
        pass

    with pytest.raises(UserError, match=r"layer 1 \(OwnNorm\) normalizes by the statistics of its batch"):
        synchronise_batch_norm(nn.Sequential(nn.ReLU(), OwnNorm(3)))


@pytest.mark.parametrize(
    "name",
    ["batch norm", "batch norm in pieces", "mixup", "classification", "segmentation", "tracking", "mae", "mocov3"],
)
def test_twenty_steps_of_two_processes_are_those_of_one(
    both: Findings, whole: dict[str, dict[str, Any]], name: str
) -> None:
    """The loss of each step (its mean over the processes), and all weights and statistics at the end."""
    first, second = (found["trainings"][name] for found in both.found)
    expected, tolerance = whole[name], LOSS_TOLERANCE.get(name, USUAL_TOLERANCE)
    losses = (first["losses"] + second["losses"]) / 2
    assert len(losses) >= proofs.STEPS
    assert torch.allclose(losses, expected["losses"], rtol=tolerance, atol=0)
    assert not torch.allclose(first["losses"], losses, rtol=1e-3), "each had its own part of the batch"
    for key, value in expected["state"].items():
        assert torch.equal(first["state"][key], second["state"][key]), key
        apart = float((first["state"][key].double() - value.double()).abs().max())
        assert apart <= 10 * tolerance * max(1.0, float(value.abs().max())), key
