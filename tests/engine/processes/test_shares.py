"""What a process has of a batch, how much its loss counts, and batch norm in a group of one process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from engine import grad_accumulation, training
from engine.grad_accumulation import BatchShare, split_batch
from engine.processes.batch_norm import SynchronisedBatchNorm1d, synchronise_batch_norm
from tests.wrong_numbers.small_training import SmallNet, make_job


@pytest.mark.parametrize("total", range(4, 17))
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_pieces_of_processes_are_those_of_one(total: int, processes: int, accumulate: int) -> None:
    pieces = min(accumulate, total // processes)
    shares = [
        split_batch(list(range(rank, total, processes)), pieces, share=BatchShare(total, rank, processes))
        for rank in range(processes)
    ]
    expected = split_batch(list(range(total)), pieces)
    assert [sorted(item for share in shares for item in share[number]) for number in range(pieces)] == expected
    assert all(part for share in shares for part in share), "no process has an empty piece"


@pytest.mark.parametrize(("own", "processes", "total"), [(3, 2, 5), (2, 2, 5), (4, 1, 4), (1, 3, 4)])
@pytest.mark.parametrize("pieces", [1, 2])
def test_every_item_counts_the_same(
    own: int, processes: int, total: int, pieces: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean over the processes of what is counted is the mean over all items."""
    rank = 0 if own == -(-total // processes) else processes - 1
    monkeypatch.setattr(grad_accumulation, "get_dist_info", lambda: (rank, processes))
    wrapper, weights = SimpleNamespace(), []

    def train_step(part: list[float], optim_wrapper: Any) -> dict[str, float]:
        weights.append(wrapper.loss_weight)
        return {"loss": sum(part) / len(part)}

    runner = SimpleNamespace(optim_wrapper=wrapper, model=SimpleNamespace(train_step=train_step))
    values = [float(number) for number in range(1, own + 1)]
    found = grad_accumulation._train_step(runner, values, pieces, None, total)
    assert found["loss"] / processes == pytest.approx(sum(values) / total)
    assert sum(weights) == pytest.approx(own * processes / total)


@pytest.fixture
def _group_of_one() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("_group_of_one")
def test_batch_norm_in_a_group_of_one_is_torchs() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    synchronise_batch_norm(ours)
    for values in torch.randn(4, 5, 3):
        inputs = [values.clone().requires_grad_() for _ in range(2)]
        outputs = [norm(value) for norm, value in zip((ours, theirs), inputs, strict=True)]
        for output in outputs:
            output.square().mul(torch.arange(15.0).view(5, 3)).sum().backward()
        assert torch.allclose(*outputs, atol=1e-6)
        first, second = (value.grad for value in inputs)
        assert first is not None and second is not None and torch.allclose(first, second, atol=1e-5)
    for name, value in theirs.state_dict().items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-6), name
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ours(torch.randn(1, 3))
    assert ours(torch.randn(4, 3).bfloat16()).dtype == torch.bfloat16


def test_two_processes_with_equal_batches_are_one_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a second process: what it would send is what this one sends."""
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_gather", lambda parts, own: [part.copy_(own) for part in parts])
    monkeypatch.setattr(dist, "all_reduce", lambda sums: sums.mul_(2))
    torch.manual_seed(0)
    ours, theirs = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    synchronise_batch_norm(ours)
    own = torch.randn(5, 3).requires_grad_()
    both = torch.cat([own.detach()] * 2).requires_grad_()
    factor = torch.rand(5, 3)
    (ours(own).sin() * factor).sum().backward()
    (theirs(both).sin() * torch.cat([factor] * 2)).sum().backward()
    assert own.grad is not None and both.grad is not None
    assert torch.allclose(own.grad, both.grad[:5], atol=1e-6)
    assert torch.allclose(ours.running_var, theirs.running_var)  # type: ignore[arg-type]


def test_a_training_of_several_processes_shares_its_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mmengine.dataset.sampler", "engine.training"):
        monkeypatch.setattr(f"{module}.get_dist_info", lambda: (0, 2))
    job = make_job(tmp_path, model=SmallNet(batch_norm=True))
    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(training, "CheckpointRunner", interrupt)
        training._build_train_runner(job, [])
    norms = [part for part in job.model.modules() if isinstance(part, nn.BatchNorm1d)]
    assert [type(part) for part in norms] == [SynchronisedBatchNorm1d]


def interrupt(**arguments: Any) -> None:
    raise InterruptedError
