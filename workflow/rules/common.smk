"""The grid as file names: everything the rules need to know of the configuration."""

import re
import sys

from snakemake.exceptions import WorkflowError

# The package beside this workflow is used, installed or not.
sys.path.insert(0, workflow.basedir)

from nst.catalogue import read_catalogue
from nst.config import read_run
from nst.errors import UserError
from nst.job import share_package_with_jobs
from nst.settings import ALGORITHM_VERSION

share_package_with_jobs(workflow.basedir)

try:
    run = read_run(config, read_catalogue())
except UserError as error:
    raise WorkflowError(f"The configuration cannot be used. {error}") from None


wildcard_constraints:
    role="content|style",
    name="[^/]+",
    content="|".join(map(re.escape, run.contents)),
    style="|".join(map(re.escape, run.styles)),
    layers="|".join(map(re.escape, run.layers)),
    extractor="kmeans|vgg19|vgg19_16x",


CELL = "results/cells/{content}/{style}/{layers}/{ratio}.png"
EXTRACTOR = f"results/extractors/{run.settings.extractor}.safetensors"


def cell_files(**fixed):
    """List the cells' pictures, or those for which ``fixed`` gives the names."""
    names = {
        "content": run.contents,
        "style": run.styles,
        "layers": run.layers,
        "ratio": run.ratios,
    }
    names |= {axis: [name] for axis, name in fixed.items()}
    return expand(CELL, **names)


def grid_files():
    """List the comparison grids."""
    return [
        "results/grids/overview.png",
        *expand("results/grids/pairs/{c}/{s}.png", c=run.contents, s=run.styles),
        *expand("results/grids/contents/{c}/{l}.png", c=run.contents, l=run.layers),
    ]


def image_source(picture):
    """Return where a picture of the run comes from: the user's own file, or the catalogue's."""
    if picture.path is not None:
        return picture.path
    return f"results/inputs/catalogue/{picture.entry.file}"


def prepared(role, name):
    """Return the path of an image that has been checked and brought to sRGB."""
    return f"results/inputs/{role}/{name}.png"


def prepare_image_input(wildcards):
    """Return the file that an image is prepared from."""
    return image_source(run.pictures[f"{wildcards.role}/{wildcards.name}"])


def extractor_input(wildcards):
    """List the files that an extractor is made from."""
    if wildcards.extractor == "vgg19_16x":
        return ["results/inputs/catalogue/vgg19_16x.pth"]
    if wildcards.extractor == "vgg19":
        return [run.vgg19_weights] if run.vgg19_weights else []
    return [image_source(picture) for picture in run.kmeans_images]


def pair_names(wildcards):
    """Return a pair's names and titles."""
    return {
        "content_name": wildcards.content,
        "content_title": run.contents[wildcards.content].title,
        "style_name": wildcards.style,
        "style_title": run.styles[wildcards.style].title,
    }


def pair_titles(wildcards):
    """Return the titles of a pair's images."""
    return {
        "content": run.contents[wildcards.content].title,
        "style": run.styles[wildcards.style].title,
    }


def content_title(wildcards):
    """Return a content's title."""
    return run.contents[wildcards.content].title
