import pytest
import torch
from conftest import random_image

from nst.config.architecture import Architecture
from nst.errors import ExtractorError
from nst.network.kernels import halve
from nst.network.kmeans import fit_kmeans

SMALL = Architecture("kmeans", ((8, 8), (12,)), "reflect", "average", "for tests")
IMAGES = [random_image(1, 40, 48), random_image(2, 36, 36)]


def fit(seed: int = 0, images=IMAGES):
    return fit_kmeans(images, seed, SMALL, patches=2000)


def test_the_same_images_and_seed_give_the_same_extractor():
    first, second, other = fit(0), fit(0), fit(1)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert not torch.equal(
        first.convolutions["conv1_1"].weight, other.convolutions["conv1_1"].weight
    )


def test_every_filter_has_a_mean_activation_of_one_over_the_octaves_of_the_images():
    extractor = fit()
    for layer in ("relu1_1", "relu1_2", "relu2_1"):
        octaves = [one for image in IMAGES for one in (image, halve(image), halve(halve(image)))]
        found = [extractor(image, [layer])[layer] for image in octaves]
        total = sum(one.sum((0, 2, 3)) for one in found)
        places = sum(one.shape[2] * one.shape[3] for one in found)
        torch.testing.assert_close(total / places, torch.ones_like(total), rtol=1e-3, atol=1e-3)


def test_the_filters_of_a_layer_differ_from_each_other():
    extractor = fit()
    filters = extractor.convolutions["conv1_1"].weight.flatten(1)
    distinct = torch.nn.functional.normalize(filters)
    similarity = (distinct @ distinct.T - torch.eye(len(distinct))).abs().mean()
    assert similarity < 0.6  # no two filters are the same one over again


def test_a_one_coloured_image_does_not_break_the_fit():
    extractor = fit(images=[torch.full((1, 3, 40, 40), 0.5)])
    assert all(value.isfinite().all() for value in extractor.state_dict().values())


def test_no_images_and_tiny_images_are_refused():
    with pytest.raises(ExtractorError, match="none were given"):
        fit(images=[])
    with pytest.raises(ExtractorError, match="needs at least 4 px"):
        fit(images=[random_image(1, 3, 40)])


def test_a_narrow_image_is_learnt_from_at_the_octaves_that_it_has():
    extractor = fit(images=[random_image(1, 6, 40)])
    assert all(value.isfinite().all() for value in extractor.state_dict().values())
