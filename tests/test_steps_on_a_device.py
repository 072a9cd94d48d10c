"""What a step asks of a GPU, on ``meta``: a device without data, which cannot be read back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nst.config.architecture import ARCHITECTURES
from nst.config.presets import read_presets
from nst.config.settings import Settings
from nst.method.objective import Objective, measure_targets
from nst.method.optimise import Plan, State, optimise
from nst.method.optimisers import Adam, Lbfgs
from nst.method.regions import Region
from nst.network.extractor import Extractor

META = torch.device("meta")


class Copies(TorchDispatchMode):
    """Notes what goes from the CPU to the device: a GPU finishes all that waits before it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, arguments=(), options=None) -> Any:
        result = function(*arguments, **(options or {}))
        tensors = [one for one in (*arguments, result) if isinstance(one, torch.Tensor)]
        copied = len({one.device for one in tensors}) > 1 and any(one.dim() for one in tensors)
        if copied or "lift_fresh" in str(function):  # as torch.tensor does with numbers
            self.found.append(str(function))
        return result


def steps(style_loss: str, make, count: int) -> Copies:
    """Take steps, and note what the last of them does."""
    with META:
        network = Extractor(ARCHITECTURES["kmeans"]).eval()
    recipe = read_presets()["relative"].settings
    cells = [
        Settings.from_mapping({**recipe, "style_loss": style_loss, "image_size": 128, "beta": beta})
        for beta in (1, 10)
    ]
    content, style = (
        torch.empty(1, 3, 96, 128, device=META),
        torch.empty(1, 3, 128, 128, device=META),
    )
    targets = measure_targets(network, content, [Region.whole(style)], cells)
    objective = Objective(network, targets, cells)
    state = State.at(content.expand(2, -1, -1, -1).clone(), make())
    optimise(objective, state, Plan(count - 1, keep="last"))
    with Copies() as noted:  # one step, and the look at the picture after it
        optimise(objective, state, Plan(count, keep="last"))
    return noted


@pytest.mark.parametrize("make", [Lbfgs, Adam])
@pytest.mark.parametrize("style_loss", ["covariance", "moments", "sum_gram", "sliced_wasserstein"])
def test_a_step_copies_nothing_to_the_device_and_reads_nothing_back(style_loss, make):
    assert steps(style_loss, make, 4).found == []
