"""A step's tensors are on one device, and a GPU can replay it without waiting. Needs no GPU.

``FakeTensorMode`` computes shapes, types and devices but no values. It refuses operations on
tensors of different devices, and every use of a value: ``item()``, ``tolist()``, ``bool()``. The
device ``meta`` replaces the GPU, since gradients on ``cuda`` need CUDA.

A CUDA graph is a list of operations on fixed tensors; ``make_fx`` records the same kind of list.
"""

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterator

import pytest
import torch
from conftest import TINY
from torch._functorch import config as functorch
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from nst.config.geometry import HISTORY
from nst.config.settings import Settings
from nst.method import distributions, spectrum
from nst.method import optimise as optimise_module
from nst.method.objective import Objective, measure_targets
from nst.method.optimise import State, optimise, take_step
from nst.method.optimisers import Adam, Lbfgs, Pyramid
from nst.method.regions import Region
from nst.network import kernels
from nst.network.extractor import Extractor

DEVICE = "meta"
LAYERS = {
    "content_layers": {"relu1_2": 1.0, "relu2_1@1": 1.0},
    "style_layers": {"relu1_1": 1.0, "relu2_1": 1.0},
}
RECIPES = {
    "covariance": {
        **{"style_loss": "covariance", "octaves": 2, "pooling": "average", "tv_weight": 5},
        "style_layers": {**LAYERS["style_layers"], "rgb": 0.1},
    },
    "gram": {"style_loss": "relative", "pooling": "max"},
    "sliced": {"style_loss": "sliced_wasserstein", "octaves": 2, "pooling": "average"},
    "published": {
        **{"content_loss": "half_sum", "style_loss": "sum_gram", "tv_loss": "absolute_sum"},
        **{"pooling": "max", "tv_weight": 1},
    },
    "sampled": {
        **{"content_loss": "self_similarity", "content_layers": {"sampled_hypercolumn": 1}},
        **{"style_loss": "relaxed_emd", "style_layers": {"sampled_hypercolumn": 1}},
        **{"optimiser": "rmsprop", "pooling": "max"},
    },
}


class Recorder(TorchDispatchMode):
    """Counts copies between device and CPU, each of which waits for all earlier work of a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        tensors = [one for one in (*arguments, result) if isinstance(one, torch.Tensor)]
        copied = len({one.device for one in tensors}) > 1 and any(one.dim() for one in tensors)
        if copied or "lift_fresh" in str(function):  # from torch.tensor of numbers
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
    for cache in caches:  # no fake tensor may reach another test
        cache.cache_clear()


def objective_of(
    changes: dict, device: str = DEVICE, mask: torch.Tensor | None = None
) -> tuple[Objective, list[Settings]]:
    changes = {**LAYERS, **(changes or RECIPES["gram"])}
    cells = [Settings.from_mapping({**changes, "beta": beta}) for beta in (1.0, 9.0)]
    with torch.device(device):
        network = Extractor(dataclasses.replace(TINY, pooling=cells[0].pooling))
    content, style = (torch.rand(1, 3, 40, width, device=device) for width in (48, 36))
    regions = [Region(Region.whole(style).parts, mask)]
    return Objective(network, measure_targets(network, content, regions, cells), cells), cells


@pytest.mark.parametrize(
    ("recipe", "optimiser"), [*((one, Lbfgs) for one in RECIPES), ("published", Adam)]
)
@pytest.mark.usefixtures("pretended")
def test_a_step_computes_on_the_cells_device_alone_and_waits_for_nothing(recipe, optimiser):
    objective, cells = objective_of(RECIPES[recipe])
    start = torch.rand(len(cells), 3, 40, 48, device=DEVICE)
    state = State.at(start, optimiser())
    optimise(objective, state, Settings(iterations=2, keep="last"))  # fills the caches
    with Recorder() as recorder:
        outcome = optimise(objective, state, Settings(iterations=4, keep="last"))
    assert outcome.images.device.type == DEVICE
    assert {one.device.type for one in (outcome.finite, *outcome.trace)} == {DEVICE}
    assert recorder.copies == {}


LEFT = torch.cat([torch.ones(1, 1, 40, 24), torch.zeros(1, 1, 40, 24)], dim=3)
NEAREST = {**RECIPES["sliced"], "style_loss": "nearest"}
REPLAYED = {
    **{name: (RECIPES[name], Lbfgs, None) for name in ("gram", "published")},
    "covariance in a region": (RECIPES["covariance"], Lbfgs, LEFT),
    "adam": (RECIPES["published"], Adam, None),
    "sampled in a region": (RECIPES["sampled"], Lbfgs, LEFT),
}
ALSO_REPLAYED = {
    "sliced in a region": (RECIPES["sliced"], Lbfgs, LEFT),
    "nearest in a region": (NEAREST, Lbfgs, LEFT),
    "rmsprop": (RECIPES["published"], lambda: Adam(variant="rmsprop"), None),
    "keras_adam": (RECIPES["published"], lambda: Adam(variant="keras_adam"), None),
    "pyramid": (RECIPES["published"], lambda: Pyramid(Adam()), None),
}
WAITS = ("nonzero", "_local_scalar_dense", "lift_fresh", "_to_copy", "unique", "masked_select")


def record(state: State, objective: Objective) -> torch.fx.GraphModule:
    """Take a step and return it as repeatable operations."""
    return make_fx(lambda: take_step(state, objective, Settings(iterations=1)))()


@pytest.mark.parametrize(
    "name", [*REPLAYED, *(pytest.param(one, marks=pytest.mark.slow) for one in ALSO_REPLAYED)]
)
def test_a_step_is_recorded_once_and_replayed(name, monkeypatch):
    monkeypatch.setattr(distributions, "CLOUD", 200)
    torch.manual_seed(0)
    changes, make, mask = (REPLAYED | ALSO_REPLAYED)[name]
    objective, cells = objective_of(changes, "cpu", mask)
    eager = State.at(torch.rand(len(cells), 3, 40, 48), make())
    for _ in range(2):
        take_step(eager, objective, Settings(iterations=1))
    replayed = copy.deepcopy(eager)

    recorded = record(replayed, objective)
    steps = HISTORY[1] + 3  # enough to drop the oldest pairs
    losses = [recorded() for _ in range(steps - 1)]
    for _ in range(steps):
        expected = take_step(eager, objective, Settings(iterations=1))
    assert torch.equal(losses[-1], expected)
    assert torch.equal(replayed.images, eager.images)
    assert torch.equal(replayed.best_images, eager.best_images)
    names = {str(node.target) for node in recorded.graph.nodes}
    assert not {one for one in names if any(wait in one for wait in WAITS)}


@pytest.mark.slow
def test_an_octave_more_takes_few_operations_more():
    """Each operation is a kernel on a GPU; views are not counted."""
    counts = []
    for octaves in (1, 2):
        objective, cells = objective_of({**RECIPES["covariance"], "octaves": octaves}, "cpu")
        state = State.at(torch.rand(len(cells), 3, 40, 48), Lbfgs())
        take_step(state, objective, Settings(iterations=1))
        targets = [node.target for node in record(state, objective).graph.nodes]
        counts.append(sum(not getattr(target, "is_view", False) for target in targets))
    assert counts[0] <= 540, counts
    assert counts[1] - counts[0] <= 200, counts
