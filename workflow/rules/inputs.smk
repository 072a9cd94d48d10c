"""Images and extractors: fetched, checked, brought into one form."""


rule fetch:
    output:
        "results/inputs/catalogue/{file}",
    log:
        "results/logs/fetch/{file}.log",
    priority: 10
    # On a cluster it runs where Snakemake does: compute nodes often have no internet.
    localrule: True
    conda:
        "../envs/nst.yaml"
    message:
        "Fetch {wildcards.file}"
    script:
        "../scripts/fetch.py"


def prepare_image_input(wildcards):
    """Return the file that an image is prepared from."""
    if wildcards.role == "style" and wildcards.name in COMPOSED:
        # Snakemake asks, although compose_style goes before, and would print the exception.
        return []
    return source_file(run.pictures[f"{wildcards.role}/{wildcards.name}"])


rule prepare_image:
    input:
        prepare_image_input,
    output:
        PREPARED,
    log:
        "results/logs/prepare_image/{role}/{name}.log",
    # A bad image is to be found before any long job starts.
    priority: 10
    conda:
        "../envs/nst.yaml"
    message:
        "Check and prepare {wildcards.role} {wildcards.name}"
    script:
        "../scripts/prepare_image.py"


ruleorder: compose_style > prepare_image


def ingredient_files(wildcards):
    """List the images that a style is made of."""
    parts = run.styles[wildcards.composed].made_of.parts
    return [prepared("style", one.name) for one in parts]


def ingredient_weights(wildcards):
    """List the weights of the images that a style is made of."""
    return [one.weight for one in run.styles[wildcards.composed].made_of.parts]


# What stands for a style that is made of others, in grids and in the gallery.
rule compose_style:
    input:
        ingredient_files,
    output:
        "results/inputs/style/{composed}.png",
    log:
        "results/logs/compose_style/{composed}.log",
    conda:
        "../envs/nst.yaml"
    params:
        weights=ingredient_weights,
    message:
        "Show what the style {wildcards.composed} is made of"
    script:
        "../scripts/compose_style.py"


def weights_of_user(wildcards):
    """Return the file of weights that the configuration names for an extractor, if it does."""
    return run.weights.get(wildcards.fetched) or []


rule fetch_extractor:
    input:
        weights_of_user,
    output:
        "results/extractors/{fetched}.safetensors",
    log:
        "results/logs/fetch_extractor/{fetched}.log",
    # What cannot be had is to be found before any long job starts.
    priority: 10
    # On a cluster it runs where Snakemake does: compute nodes often have no internet.
    localrule: True
    conda:
        "../envs/nst.yaml"
    params:
        algorithm=ALGORITHM_VERSION,
    message:
        "Fetch the extractor {wildcards.fetched}"
    script:
        "../scripts/fetch_extractor.py"


OF_FIT = allocate_fit(len(run.kmeans_images))


def sources_of_extractor(wildcards):
    """List the files that an extractor is made from."""
    return extractor_sources(run, wildcards.extractor)


rule make_extractor:
    input:
        sources_of_extractor,
    output:
        "results/extractors/{extractor}.safetensors",
    log:
        "results/logs/make_extractor/{extractor}.log",
    conda:
        "../envs/nst.yaml"
    threads: 8
    resources:
        mem_mb=growing(OF_FIT.mem_mb),
        runtime=growing(OF_FIT.runtime),
    params:
        seed=run.settings.seed,
        algorithm=ALGORITHM_VERSION,
    message:
        "Make the extractor {wildcards.extractor}"
    script:
        "../scripts/make_extractor.py"
