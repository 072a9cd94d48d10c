"""The losses and networks that a setting may name: one row each, read without loading torch.

A row names its functions, which are loaded when they are first called. An installed package can add
rows of the same kinds; docs/api.md shows how.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from nst.config.layers import KMEANS, VGG16, VGG16_HED, VGG19, VGG19_16X, Architecture
from nst.errors import ConfigError, shown

if TYPE_CHECKING:
    from nst.config.catalogue import Entry

Row = TypeVar("Row")


class Registry(Mapping[str, Row]):
    """The rows that a setting may name, of one class, by name.

    The entry points of the group ``nst.SETTING``, such as ``nst.style_loss``, add rows. They are
    loaded when the setting names them, and iteration yields only the rows of this package.

    Raises:
        ConfigError: the row of another package cannot be loaded, or has another class.
    """

    def __init__(self, setting: str, kind: type[Row], rows: Mapping[str, Row]) -> None:
        self._setting = setting
        self._kind = kind
        self._rows = rows

    def __getitem__(self, name: str) -> Row:
        if name in self._rows:
            return self._rows[name]
        group = f"nst.{self._setting}"
        row = _added(group, name)
        if not isinstance(row, self._kind):
            raise ConfigError(
                f"the entry point {name!r} of {group} must be a {self._kind.__name__} of "
                f"{self._kind.__module__}; got a {type(row).__name__}. Correct it."
            )
        return row

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def checked(self, name: object) -> str:
        """Return a name that has a row; raise ``ValueError``, with the name, for any other."""
        if isinstance(name, str) and name in self:
            return name
        raise ValueError(shown(name))


@cache
def _added(group: str, name: str) -> object:
    """Load the row that an installed package adds; raise ``KeyError`` if there is none."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - few runs need it

    points = {point.value: point for point in entry_points(group=group, name=name)}
    if len(points) > 1:
        raise ConfigError(
            f"two packages add {name!r} to {group}: {' and '.join(sorted(points))}. Uninstall one, "
            "or give one another name."
        )
    for point in points.values():
        try:
            return point.load()
        except Exception as error:  # another package may raise any exception
            raise ConfigError(
                f"the entry point {name!r} of {group} cannot be loaded ({type(error).__name__}: "
                f"{error}). Correct {point.value}, or uninstall its package."
            ) from error
    raise KeyError(name)


@dataclass(frozen=True)
class Function:
    """A function, given as ``module:name``, whose module is loaded at the first call."""

    place: str

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return _function(self.place)(*arguments)


@cache
def _function(place: str) -> Callable[..., Any]:
    """Load the function at a place; raise ``ConfigError`` if there is none."""
    try:
        found: Callable[..., Any] = pkgutil.resolve_name(place)
    except Exception as error:  # another package may raise any exception
        raise ConfigError(
            f"the function {place} cannot be loaded ({type(error).__name__}: {error}). Correct it "
            "or its place, or uninstall its package."
        ) from error
    return found


def _loss(name: str) -> Function:
    """Return a function of ``nst.method.losses``."""
    return Function(f"nst.method.losses:{name}")


def _distribution(name: str) -> Function:
    """Return a function of ``nst.method.distributions``."""
    return Function(f"nst.method.distributions:{name}")


SQUARED = _loss("mean_squared_error")
MOMENTS, BLENDED, MERGED = map(_loss, ("moments", "blended_moments", "merged_moments"))


@dataclass(frozen=True)
class ContentLoss:
    """One way to compare features with a content's.

    ``error`` compares features with the content's, and returns means over positions. ``against``
    takes the content's features, and returns the loss as a function of this error. With
    ``of_shares``, layer weights are scaled to sum to 1, so that more layers do not shift the
    balance of content and style. The published recipes take their weights as given. With
    ``of_samples``, the loss needs the layer ``sampled_hypercolumn``.
    """

    against: Callable[[Any], Any]
    error: Callable[[Any, Any], Any] = SQUARED
    of_shares: bool = False
    of_samples: bool = False


@dataclass(frozen=True)
class Statistic:
    """One way to compare features with a style's.

    ``measure`` takes the features of one style and the places that count; ``blend`` averages the
    measurements of several styles by their shares. ``places`` turns weights into the places that
    count, once for all steps. ``merge`` combines the measurements of a picture's tiles, and
    ``loss`` compares those of a batch with the style's. It returns a loss for each picture.
    ``merge`` is None if the statistic needs all positions at once; ``loss`` then takes the features
    and the places that count, instead of a measurement. ``of_shares`` and ``of_samples`` are as in
    ``ContentLoss``.
    """

    loss: Callable[..., Any]
    measure: Callable[[Any, Any], Any] = MOMENTS
    blend: Callable[[Sequence[tuple[float, Any]]], Any] = BLENDED
    merge: Callable[[Sequence[Any]], Any] | None = MERGED
    places: Callable[[Any], Any] = lambda weights: weights
    of_shares: bool = True
    of_samples: bool = False

    def look(self, features: Any, places: Any) -> Any:
        """Return what ``compare`` needs of the features of a batch, or of a tile."""
        return self.measure(features, places) if self.merge else (features, places)

    def compare(self, seen: Any, target: Any) -> Any:
        """Return the loss of features that ``look`` saw, one value per picture."""
        return self.loss(seen, target) if self.merge else self.loss(*seen, target)


@dataclass(frozen=True)
class Network:
    """A network: its architecture, and the function that reads its weights.

    ``read`` takes the file of the weights and the architecture, and returns the ``Extractor``. It
    is None for a network that is fitted to the run's images. ``entry`` says where the file comes
    from. The networks of this package leave it out: the catalogue has an entry of their name.
    """

    architecture: Architecture
    read: Callable[[Any, Architecture], Any] | None = None
    entry: Entry | None = None


def _vgg(architecture: Architecture, read: str = "vgg_from_file") -> Network:
    """Return a network whose weights a function of ``nst.network.vgg`` reads."""
    return Network(architecture, Function(f"nst.network.vgg:{read}"))


CONTENT_LOSSES = Registry(
    "content_loss",
    ContentLoss,
    {
        "relative": ContentLoss(_loss("relative_content_loss"), of_shares=True),
        "half_sum": ContentLoss(_loss("half_sum_content_loss")),
        "mean": ContentLoss(_loss("mean_content_loss")),
        "scaled": ContentLoss(_loss("scaled_content_loss"), _loss("square_and_absolute_error")),
        "cosine": ContentLoss(_loss("mean_content_loss"), _loss("cosine_error")),
        "self_similarity": ContentLoss(
            _loss("mean_content_loss"), _loss("self_similarity_error"), of_samples=True
        ),
    },
)
STATISTICS = Registry(
    "style_loss",
    Statistic,
    {
        "covariance": Statistic(_loss("covariance_style_loss")),
        "moments": Statistic(_loss("moments_style_loss")),
        "sliced_wasserstein": Statistic(
            _distribution("sliced_wasserstein_style_loss"),
            _distribution("style_quantiles"),
            _distribution("blended_quantiles"),
            merge=None,
            places=_distribution("counted_positions"),
        ),
        "nearest": Statistic(
            _distribution("nearest_style_loss"),
            _distribution("sample_features"),
            _distribution("merged_samples"),
            merge=None,
            places=_distribution("counted_positions"),
        ),
        "relative": Statistic(_loss("relative_style_loss")),
        "sum_gram": Statistic(_loss("sum_gram_style_loss"), of_shares=False),
        "mean_gram": Statistic(_loss("mean_gram_style_loss"), of_shares=False),
        "mean_plain_gram": Statistic(_loss("mean_plain_gram_style_loss"), of_shares=False),
        "mean_plain_gram_per_value": Statistic(
            _loss("mean_plain_gram_per_value_style_loss"), of_shares=False
        ),
        "scaled_gram": Statistic(_loss("scaled_gram_style_loss"), of_shares=False),
        "relaxed_emd": Statistic(
            _distribution("relaxed_emd_style_loss"),
            _distribution("style_cloud"),
            _distribution("blended_cloud"),
            merge=None,
            of_samples=True,
        ),
    },
)
TV_LOSSES: Registry[Callable[[Any], Any]] = Registry(
    "tv_loss",
    Callable,  # type: ignore[arg-type]
    {
        "mean_square": _loss("mean_square_total_variation"),
        "square_sum": _loss("square_sum_total_variation"),
        "absolute_sum": _loss("absolute_sum_total_variation"),
    },
)
NETWORKS = Registry(
    "extractor",
    Network,
    {
        one.architecture.name: one
        for one in (
            Network(KMEANS),
            _vgg(VGG19),
            _vgg(VGG19_16X, "vgg19_16x_from_file"),
            _vgg(VGG16),
            _vgg(VGG16_HED, "vgg16_hed_from_wheel"),
        )
    },
)
