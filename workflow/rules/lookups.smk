"""Functions that compute the rules' resources, inputs and parameters."""


def share_of_cores(most):
    """Return the number of cores for each of the pairs that run at once, at most ``most``.

    The resource ``gpu`` is the number of these pairs. A run on a cluster does not set it; each pair
    then gets ``most`` cores.
    """
    cores, gpus = (
        getattr(one, "value", one)
        for one in map(workflow.global_resources.get, ("_cores", "gpu"))
    )
    return min(most, max(1, cores // gpus)) if cores and gpus else most


def growing(least):
    """Return a resource function: ``least`` at the first attempt, and ``least`` more per retry."""

    def asked(wildcards, attempt):
        return least * attempt

    return asked


def ingredients(wildcards):
    """List the parts of a style that is made of several images; none for other images."""
    style = run.styles.get(wildcards.name) if wildcards.role == "style" else None
    return style.made_of.parts if style and style.made_of else []


def prepare_image_input(wildcards):
    """List the files that an image is prepared from."""
    if parts := ingredients(wildcards):
        return [paths.prepared("style", one.name) for one in parts]
    return [run.pictures[f"{wildcards.role}/{wildcards.name}"].path]


def source_of_image(wildcards):
    """Identify the files of an image: a user's by its sha256, for its date may be an old one.

    Snakemake compares the paths of inputs as a set, so a blend is identified by its order.
    """
    if parts := ingredients(wildcards):
        return digest(one.name for one in parts)
    picture = run.pictures[f"{wildcards.role}/{wildcards.name}"]
    path = Path(picture.path)
    return file_digest(path) if picture.entry is None and path.is_file() else ""


def ingredient_weights(wildcards):
    """List the weights of the images that a style is made of."""
    return [one.weight for one in ingredients(wildcards)]


def weights_of_user(wildcards):
    """Return the weights file that the configuration gives for a network, or an empty list."""
    return run.weights.get(wildcards.fetched) or []


def composition_of_pair(wildcards):
    """Return a style's composition for a content, as plain values; None for one whole image."""
    found = paths.composition_files(run, wildcards.content, wildcards.style)
    return found and found.to_dict()


def files_of_composition(wildcards):
    """List the files of a style's composition for a content, without the style's own picture."""
    found = paths.composition_files(run, wildcards.content, wildcards.style)
    return found.everything if found else []


def snapshot_steps(wildcards):
    """List the steps of a cell's snapshots."""
    variant = find_variant(run.variants, wildcards.layers, wildcards.ratio)
    return list(variant.settings.snapshots)


def print_digest(wildcards):
    """Return a digest of a print's settings, which decide its pixels."""
    variant = find_variant(run.variants, wildcards.layers, wildcards.ratio)
    return digest([printed(variant, int(config["prints"]["size"]))])
