"""Functions that rules call, for their resources and for what their wildcards stand for."""


def share_of_cores(most):
    """Share the cores out among the pairs that run at once, ``most`` at most for each.

    How many those are, the resource ``gpu`` says; a cluster's run has none, and each may have most.
    """
    cores, gpus = (
        getattr(one, "value", one)
        for one in map(workflow.global_resources.get, ("_cores", "gpu"))
    )
    return min(most, max(1, cores // gpus)) if cores and gpus else most


def growing(least):
    """Return a function of what a job asks for: at first ``least``, and that again at each retry."""

    def asked(wildcards, attempt):
        return least * attempt

    return asked


def prepare_image_input(wildcards):
    """Return the file that an image is prepared from."""
    if wildcards.role == "style" and wildcards.name in COMPOSED:
        # Snakemake asks, although compose_style goes before, and would print the exception.
        return []
    return source_file(run.pictures[f"{wildcards.role}/{wildcards.name}"])


def ingredient_files(wildcards):
    """List the images that a style is made of."""
    parts = run.styles[wildcards.composed].made_of.parts
    return [prepared("style", one.name) for one in parts]


def ingredient_weights(wildcards):
    """List the weights of the images that a style is made of."""
    return [one.weight for one in run.styles[wildcards.composed].made_of.parts]


def weights_of_user(wildcards):
    """Return the file of weights that the configuration names for an extractor, if it does."""
    return run.weights.get(wildcards.fetched) or []


def composition_of_pair(wildcards):
    """Return what a style is made of for a content, as plain values; None if it is one image."""
    found = composition_files(run, wildcards.content, wildcards.style)
    return found and found.to_dict()


def files_of_composition(wildcards):
    """List the files that a style is made of for a content, beside the image that shows it."""
    found = composition_files(run, wildcards.content, wildcards.style)
    return found.everything if found else []


def snapshot_steps(wildcards):
    """List the steps of a cell's snapshots."""
    variant = find_variant(run.variants, wildcards.layers, wildcards.ratio)
    return list(variant.settings.snapshots)


def print_digest(wildcards):
    """Return a digest of a print's settings, which decide its pixels."""
    variant = find_variant(run.variants, wildcards.layers, wildcards.ratio)
    return digest([printed(variant, int(config["prints"]["size"]))])
