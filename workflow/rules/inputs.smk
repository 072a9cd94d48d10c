"""Fetch, check and convert images and networks."""


rule fetch:
    output:
        "results/inputs/catalogue/{file}",
    log:
        "results/logs/fetch/{file}.log",
    priority: 10
    # On a cluster, this runs on Snakemake's machine: compute nodes often have no internet.
    localrule: True
    conda:
        "../envs/nst.yaml"
    message:
        "Fetch {wildcards.file}"
    script:
        "../scripts/fetch.py"


rule prepare_image:
    input:
        prepare_image_input,
    output:
        paths.PREPARED,
    log:
        "results/logs/prepare_image/{role}/{name}.log",
    # Bad images are found before any long job starts.
    priority: 10
    conda:
        "../envs/nst.yaml"
    params:
        weights=ingredient_weights,
        source=source_of_image,
    message:
        "Check and prepare {wildcards.role} {wildcards.name}"
    script:
        "../scripts/prepare_image.py"


rule fetch_extractor:
    input:
        weights_of_user,
    output:
        "results/extractors/{fetched}.safetensors",
    log:
        "results/logs/fetch_extractor/{fetched}.log",
    # A missing network is found before any long job starts.
    priority: 10
    # On a cluster, this runs on Snakemake's machine: compute nodes often have no internet.
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


rule make_extractor:
    input:
        [picture.path for picture in run.kmeans_images],
    output:
        "results/extractors/kmeans.safetensors",
    log:
        "results/logs/make_extractor/kmeans.log",
    conda:
        "../envs/nst.yaml"
    threads: 8
    resources:
        mem_mb=growing(OF_FIT.mem_mb),
        runtime=growing(OF_FIT.runtime),
    params:
        seed=run.settings.seed,
        algorithm=ALGORITHM_VERSION,
        # The network depends on their order, which Snakemake does not compare.
        order=digest(picture.path for picture in run.kmeans_images),
    message:
        "Fit the extractor kmeans"
    script:
        "../scripts/make_extractor.py"
