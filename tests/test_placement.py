"""Where the tensors of a step are, and that a step waits for no device: without a GPU.

``FakeTensorMode`` computes shapes, types and devices and no values. It refuses an operation on
tensors of different devices, and every use of a value: ``item()``, ``tolist()``, ``bool()``. Its
device here is ``meta``, which stands for a GPU: gradients on ``cuda`` want CUDA itself.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from conftest import TINY
from torch._functorch import config as functorch
from torch._subclasses import FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.utils._python_dispatch import TorchDispatchMode

from nst.config.settings import Settings
from nst.method import distributions, spectrum
from nst.method import optimise as optimise_module
from nst.method.objective import Objective, Parts, measure_targets
from nst.method.optimise import Plan, State, optimise
from nst.method.optimisers import Adam, Lbfgs, Optimiser
from nst.method.regions import Region
from nst.network import kernels
from nst.network.extractor import Extractor

DEVICE = "meta"
LAYERS = {
    "content_layers": {"relu1_2": 1.0, "relu2_1@1": 1.0},
    "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0},
}
RECIPES = {
    "covariance": {"style_loss": "covariance", "octaves": 2, "pooling": "average", "tv_weight": 5},
    "gram": {"style_loss": "relative", "pooling": "max"},
    "sliced": {"style_loss": "sliced_wasserstein", "octaves": 2, "pooling": "average"},
    "published": {
        **{"content_loss": "half_sum", "style_loss": "sum_gram", "tv_loss": "absolute_sum"},
        **{"pooling": "max", "tv_weight": 1},
    },
}


class Recorder(TorchDispatchMode):
    """Counts what goes between the device and the CPU: a GPU waits for all work before it."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        tensors = [one for one in (*arguments, result) if isinstance(one, torch.Tensor)]
        copied = len({one.device for one in tensors}) > 1 and any(one.dim() for one in tensors)
        if copied or "lift_fresh" in str(function):  # as torch.tensor does with numbers
            self.copies[str(function)] += 1
        return result


@pytest.fixture
def pretended(monkeypatch) -> Iterator[FakeTensorMode]:
    """A GPU whose tensors have no values."""
    monkeypatch.setattr(optimise_module, "wait_for", lambda device: None)
    modules = (spectrum, kernels, distributions)
    functions = [one for module in modules for one in vars(module).values()]
    caches = [one for one in functions if hasattr(one, "cache_clear")]
    for cache in caches:
        cache.cache_clear()
    with functorch.patch(fake_tensor_allow_meta=True), FakeTensorMode() as mode:
        yield mode
    for cache in caches:  # no tensor without values may reach another test
        cache.cache_clear()


def objective_of(changes: dict) -> tuple[Objective, list[Settings]]:
    changes = {**LAYERS, **(changes or RECIPES["gram"])}
    cells = [Settings.from_mapping({**changes, "beta": beta}) for beta in (1.0, 9.0)]
    with torch.device(DEVICE):
        network = Extractor(dataclasses.replace(TINY, pooling=cells[0].pooling))
    content, style = (torch.rand(1, 3, 40, width, device=DEVICE) for width in (48, 36))
    return Objective(
        network, measure_targets(network, content, [Region.whole(style)], cells), cells
    ), cells


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("optimiser", [Lbfgs, Adam])
@pytest.mark.usefixtures("pretended")
def test_a_step_computes_on_the_cells_device_alone_and_waits_for_nothing(
    recipe: str, optimiser: type[Optimiser]
):
    objective, cells = objective_of(RECIPES[recipe])
    start = torch.rand(len(cells), 3, 40, 48, device=DEVICE)
    state = State.at(start, optimiser())
    optimise(objective, state, Plan(2, keep="last"))  # what is remembered is made once
    with Recorder() as recorder:
        outcome = optimise(objective, state, Plan(4, keep="last"))
    assert outcome.images.device.type == DEVICE
    assert {one.device.type for one in (outcome.finite, *outcome.trace)} == {DEVICE}
    assert recorder.copies == {}


@pytest.mark.usefixtures("pretended")
def test_a_tensor_on_another_device_would_be_noticed():
    objective, cells = objective_of({})
    objective._beta = torch.ones(len(cells), device="cpu")
    start = torch.rand(len(cells), 3, 40, 48, device=DEVICE)
    with pytest.raises(RuntimeError, match="two devices"):
        optimise(objective, State.at(start, Lbfgs()), Plan(1))


@pytest.mark.parametrize("use", [lambda loss: loss[0].item(), lambda loss: bool(loss[0] > 1)])
@pytest.mark.usefixtures("pretended")
def test_a_step_that_waits_for_a_value_would_be_noticed(use):
    objective, cells = objective_of({})

    def evaluate(images: torch.Tensor) -> Parts:
        parts = objective(images)
        use(parts.total)
        return parts

    start = torch.rand(len(cells), 3, 40, 48, device=DEVICE)
    with pytest.raises(DataDependentOutputException):
        optimise(evaluate, State.at(start, Lbfgs()), Plan(1))


@pytest.mark.usefixtures("pretended")
def test_a_copy_to_the_cpu_would_be_noticed():
    with Recorder() as recorder:
        torch.rand(3, device=DEVICE).cpu()
    assert sum(recorder.copies.values()) == 1
