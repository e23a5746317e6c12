import torch
from torch import nn

from backbones.cost.memory import measure_peak_memory


def test_a_chain_of_layers_by_hand():
    model = nn.Sequential(nn.Linear(10, 1000), nn.GELU(), nn.Linear(1000, 1)).eval()
    weights = 4 * (10 * 1000 + 1000 + 1000 + 1)
    inputs = 4 * 8 * 10
    live = 2 * 4 * 8 * 1000  # input and output of the GELU
    assert measure_peak_memory(model, [torch.zeros(8, 10)]) == weights + inputs + live


def test_views_and_what_is_released_cost_nothing():
    class Views(nn.Module):
        def forward(self, x):
            for _ in range(5):
                x = (x.view(-1).view(x.shape)) + 1  # each step holds two: its input and its output
            return x

    x = torch.zeros(100, 100)
    assert measure_peak_memory(Views(), [x]) == 3 * x.nbytes


def test_it_grows_with_the_batch():
    model = nn.Conv2d(3, 8, 3).eval()
    one, four = (measure_peak_memory(model, [torch.zeros(n, 3, 16, 16)]) for n in (1, 4))
    weights = sum(p.nbytes for p in model.parameters())
    assert four - weights == 4 * (one - weights)
