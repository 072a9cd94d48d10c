import csv
import hashlib
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from conftest import paint
from downloads import CONTENT, begin, break_off, entry_at, refusal, unused_address
from torchvision.models import VGG16_Weights, VGG19_Weights

from nst.config.catalogue import RESOURCES, RETRIES, fetch, read_catalogue
from nst.config.pictures import IMAGE_SUFFIXES
from nst.imaging.images import load_image
from nst.system.files import PART

# requests leaves the closing of a broken connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

CATALOGUE = read_catalogue()
HERE = ("scikit-image:", "resources:")
SHIPPED = [entry for entry in CATALOGUE.values() if entry.source.startswith(HERE)]
PUBLISHED = [entry for entry in CATALOGUE.values() if entry.source.startswith("https:")]
TORCHVISION = {"vgg19": VGG19_Weights, "vgg16": VGG16_Weights}


# ---------------------------------------------------------------- the catalogue itself


def rows() -> list[dict[str, str]]:
    with (RESOURCES / "catalogue.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["name"])
def test_a_row_is_complete(row):
    assert list(row) == ["name", "title", "artist", "year", "licence", "file", "sha256", "source"]
    for column in set(row) - {"year"}:  # some years are unknown
        assert row[column], column
        assert row[column] == row[column].strip()
    assert re.fullmatch(r"[a-z0-9_]+", row["name"]), "safe in paths and easy to type"
    assert re.fullmatch(r"\w[\w.-]*\.(jpg|png|pth|whl)", row["file"]), "a name, not a path"
    assert re.fullmatch("[0-9a-f]{64}", row["sha256"])
    assert row["source"].startswith(("https://", "pip:", *HERE)), "it is fetched over TLS"


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_a_published_file_is_pinned_to_a_revision(entry):
    """The sha256 would reveal another file, but nobody could then fetch the right one."""
    pinned = rf"-{entry.sha256[:8]}\.pth$" if entry.name in TORCHVISION else r"/[0-9a-f]{40}/"
    assert re.search(pinned, entry.source)


def test_torchvision_s_weights_are_where_torchvision_has_them():
    for name, weights in TORCHVISION.items():
        assert CATALOGUE[name].source == weights.IMAGENET1K_V1.url


@pytest.mark.parametrize("column", ["name", "file", "sha256", "source"])
def test_no_two_rows_are_the_same(column):
    values = [row[column].casefold() for row in rows()]
    assert len(set(values)) == len(values)


def test_the_default_grid_needs_no_network():
    assert {"chelsea", "rocket", "great_wave_study"} <= {entry.name for entry in SHIPPED}


# ---------------------------------------------------------------- local files


@pytest.mark.parametrize("entry", SHIPPED, ids=lambda entry: entry.name)
def test_what_is_shipped_is_what_the_catalogue_says(entry, tmp_path):
    destination = tmp_path / "deep" / entry.file
    fetch(entry, destination, mirror=unused_address())
    assert hashlib.sha256(destination.read_bytes()).hexdigest() == entry.sha256
    assert min(load_image(destination).size) >= 32
    assert [path.name for path in destination.parent.iterdir()] == [entry.file]


# ---------------------------------------------------------------- a mirror


@pytest.fixture
def folder(tmp_path) -> Path:
    """Create a mirror folder that holds the file."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(CONTENT)
    return folder


@pytest.mark.parametrize("source", ["https://127.0.0.1:9/x", "pip:some-package==1.0"])
def test_a_mirror_serves_instead_of_the_source(serve, folder, tmp_path, source):
    server = serve(CONTENT)
    for number, mirror in enumerate((folder, f"{server.url}/files", f"{server.url}/files/")):
        fetch(entry_at(source), tmp_path / f"{number}.jpg", str(mirror))
        assert (tmp_path / f"{number}.jpg").read_bytes() == CONTENT
    assert server.asked == ["/files/photo.jpg"] * 2
    assert (folder / "photo.jpg").exists(), "copied, not moved"


def test_a_file_that_the_mirror_has_not_is_reported_with_the_remedy(folder, tmp_path):
    (folder / "photo.jpg").unlink()
    message = refusal(entry_at("https://example.org/x"), tmp_path / "out/photo.jpg", str(folder))
    assert f"{folder}/photo.jpg cannot be read (No such file or directory)" in message
    assert "Put photo.jpg there, or change the mirror setting" in message


@pytest.mark.parametrize("source", ["https://127.0.0.1:9/x", "pip:some-package==1.0"])
def test_another_file_in_the_mirror_is_refused_and_leaves_the_one_that_was_there(
    folder, tmp_path, source
):
    (folder / "photo.jpg").write_bytes(b"another")
    (tmp_path / "photo.jpg").write_bytes(b"before")
    entry = entry_at(source)
    message = refusal(entry, tmp_path / "photo.jpg", str(folder))
    assert hashlib.sha256(b"another").hexdigest()[:12] in message
    assert entry.sha256[:12] in message
    assert "replace it with the catalogue's" in message
    assert (tmp_path / "photo.jpg").read_bytes() == b"before"


@pytest.mark.mirror
@pytest.mark.parametrize(
    "entry", [one for one in PUBLISHED if one.name not in TORCHVISION], ids=lambda entry: entry.name
)
def test_the_real_mirror_holds_what_the_catalogue_says(entry, mirror, tmp_path):
    fetch(entry, tmp_path / entry.file, str(mirror))
    assert hashlib.sha256((tmp_path / entry.file).read_bytes()).hexdigest() == entry.sha256
    if entry.file.endswith(IMAGE_SUFFIXES):
        assert min(load_image(tmp_path / entry.file).size) >= 256


# ---------------------------------------------------------------- downloads


def test_a_download_arrives_whole(serve, tmp_path, pauses):
    destination = tmp_path / "deep" / "er" / "photo.jpg"
    meanwhile: list[str] = []

    def send(handler: BaseHTTPRequestHandler) -> None:
        begin(handler)
        meanwhile.extend(path.name for path in destination.parent.iterdir())
        handler.wfile.write(CONTENT)

    server = serve(send)
    fetch(entry_at(f"{server.url}/get?file=a%20b.jpg"), destination)
    assert destination.read_bytes() == CONTENT
    assert server.asked == ["/get?file=a%20b.jpg"]
    assert not pauses
    assert [path.name for path in destination.parent.iterdir()] == ["photo.jpg"]
    assert [PART.fullmatch(name) is None for name in meanwhile] == [False], "a run can remove it"
    other = paint(tmp_path / "other.png")
    assert destination.stat().st_mode == other.stat().st_mode, "others may read it too"


@pytest.mark.parametrize("first", [500, 503, 404, break_off, b"an error page"])
def test_a_download_that_fails_is_tried_again(serve, tmp_path, pauses, first):
    server = serve(first, CONTENT)
    fetch(entry_at(server.url), tmp_path / "photo.jpg")
    assert (tmp_path / "photo.jpg").read_bytes() == CONTENT
    assert len(server.asked) == 2
    assert len(pauses) == 1


def test_the_tries_have_an_end_and_pauses_between_them(serve, tmp_path, pauses):
    server = serve(500)
    message = refusal(entry_at(f"{server.url}/photo.jpg"), tmp_path / "photo.jpg")
    assert f"{server.url}/photo.jpg cannot be fetched (500 Server Error" in message
    assert "Check the network, or set mirror to a folder that holds photo.jpg" in message
    assert len(server.asked) == RETRIES + 1
    assert pauses == [1, 2, 3]


@pytest.mark.usefixtures("pauses")
def test_another_file_at_the_address_is_refused(serve, tmp_path):
    entry = entry_at(serve(b"another").url)
    message = refusal(entry, tmp_path / "photo.jpg")
    assert f"did not send the catalogue's file (sha256 {entry.sha256[:12]}…), in 4 tries" in message
    assert "Set mirror to a folder that holds it" in message


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("source", ["unused", "https://", "nonsense", "ftp://127.0.0.1/x"])
def test_an_address_that_cannot_be_reached_is_reported_with_the_remedy(tmp_path, source):
    source = unused_address() if source == "unused" else source
    message = refusal(entry_at(source), tmp_path / "photo.jpg")
    assert f"{source} cannot be fetched (" in message
    assert "set mirror to a folder that holds photo.jpg" in message
