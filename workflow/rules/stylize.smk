"""The GPU rules: one job computes all variants of a pair, and all jobs use the same precision."""


# Chosen once, on a machine that computes cells; on a cluster, all nodes then use this precision.
rule precision:
    output:
        "results/precision.txt",
    log:
        "results/logs/precision.log",
    conda:
        "../envs/nst.yaml"
    resources:
        gpu=1,
        mem_mb=growing(4000),  # only torch with CUDA
    message:
        "Detect the precision that the device computes natively"
    script:
        "../scripts/precision.py"


OF_PAIR = allocate_pair([one.settings for one in run.variants], run.device)
CELLS = [("{content}", "{style}", one) for one in run.variants]


rule stylize:
    input:
        content="results/inputs/content/{content}.png",
        style="results/inputs/style/{style}.png",
        extractor=EXTRACTOR,
        start=run.start_file or [],
        parts=files_of_composition,
        precision=PRECISION,
    output:
        pictures=paths.of_cells(paths.CELL, CELLS),
        details=paths.DETAILS,
        snapshots=paths.of_cells(
            paths.SNAPSHOTS, [one for one in CELLS if one[2].settings.snapshots]
        ),
    log:
        "results/logs/stylize/{content}/{style}.log",
    benchmark:
        "results/benchmarks/stylize/{content}/{style}.tsv"
    conda:
        "../envs/nst.yaml"
    threads: share_of_cores(8)
    resources:
        gpu=1,
        mem_mb=growing(OF_PAIR.mem_mb),
        runtime=growing(OF_PAIR.runtime),
    params:
        # Snakemake stores the parameters once per output and reads all of them at every start. This
        # is therefore only a digest of the variants; the job expands them from the configuration.
        variants=digest(run.variants),
        names=pair_names,
        composition=composition_of_pair,
        algorithm=ALGORITHM_VERSION,
    message:
        "Redraw {wildcards.content} in the style of {wildcards.style}"
    script:
        "../scripts/stylize.py"
