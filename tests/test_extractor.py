from __future__ import annotations

from pathlib import Path

import pytest
import torch
from conftest import TINY, random_image

from nst.errors import ExtractorError
from nst.network.extractor import Extractor, file_digest, load_extractor, save_extractor


def test_a_relu_layer_is_the_conv_layer_without_its_negative_part(tiny: Extractor):
    found = tiny(random_image(1), ["conv1_2", "relu1_2"])
    assert found["conv1_2"].min() < 0
    torch.testing.assert_close(found["relu1_2"], found["conv1_2"].clamp(min=0))


def test_the_features_are_those_of_the_same_layers_applied_by_hand(tiny: Extractor):
    image = random_image(2)
    convolutions = tiny.convolutions
    value = tiny.input(image)
    value = torch.relu(convolutions["conv1_1"](value))
    value = torch.relu(convolutions["conv1_2"](value))
    value = convolutions["conv2_1"](torch.nn.functional.avg_pool2d(value, 2))
    torch.testing.assert_close(tiny(image, ["conv2_1"])["conv2_1"], value)


def test_nothing_is_computed_beyond_the_last_layer_asked_for(tiny: Extractor, monkeypatch):
    convolve = Extractor._convolve

    def refuse(self, convolution, value):
        assert convolution is not self.convolutions["conv2_1"], "conv2_1 was computed"
        return convolve(self, convolution, value)

    monkeypatch.setattr(Extractor, "_convolve", refuse)
    assert set(tiny(random_image(3), {"relu1_1", "conv1_2"})) == {"relu1_1", "conv1_2"}
    with pytest.raises(AssertionError):
        tiny(random_image(3), {"conv2_1"})


def test_an_unknown_layer_is_refused_with_the_known_ones(tiny: Extractor):
    with pytest.raises(
        ExtractorError, match=r"tiny has no layer 'relu4_2'; it has conv1_1, relu1_1"
    ):
        tiny(random_image(4), ["relu4_2"])


def test_an_image_too_small_for_a_layer_is_refused_with_the_remedy(tiny: Extractor):
    with pytest.raises(ExtractorError, match=r"relu2_1 needs at least 4 px .* got 3\. Raise"):
        tiny(random_image(5, 3, 30), ["relu2_1"])
    tiny(random_image(5, 4, 30), ["relu2_1"])


def test_max_and_average_pooling_differ(tiny_file: Path):
    image = random_image(6)
    extractor = load_extractor(tiny_file)
    average = extractor(image, ["conv2_1"])["conv2_1"]
    maximum = extractor.adapted("max", "native")(image, ["conv2_1"])["conv2_1"]
    assert (average - maximum).abs().max() > 1e-3


def test_a_saved_extractor_comes_back_the_same(tiny: Extractor, tiny_file: Path):
    loaded = load_extractor(tiny_file)
    assert loaded.architecture == TINY
    image = random_image(7)
    assert torch.equal(loaded(image, ["relu2_1"])["relu2_1"], tiny(image, ["relu2_1"])["relu2_1"])


def test_saving_the_same_weights_gives_the_same_bytes(tiny: Extractor, tmp_path: Path):
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        save_extractor(tiny, path)
    assert file_digest(paths[0]) == file_digest(paths[1])


@pytest.mark.parametrize("damage", ["missing", "cut", "text"])
def test_a_damaged_extractor_file_is_named_with_the_remedy(tiny_file: Path, damage: str):
    if damage == "missing":
        tiny_file.unlink()
    else:
        half = tiny_file.read_bytes()[:-100]
        tiny_file.write_bytes(half if damage == "cut" else b"hello")
    with pytest.raises(ExtractorError, match=r"tiny\.safetensors is not an extractor .*Delete it"):
        load_extractor(tiny_file)
