"""The GPU rule: all variants of a pair of images in one job."""

VARIANT_CELLS = cell_files(content="{content}", style="{style}")


rule stylize:
    input:
        content="results/inputs/content/{content}.png",
        style="results/inputs/style/{style}.png",
        extractor=EXTRACTOR,
    output:
        pictures=VARIANT_CELLS,
        details=[path.replace(".png", ".json") for path in VARIANT_CELLS],
    log:
        "results/logs/stylize/{content}/{style}.log",
    benchmark:
        "results/benchmarks/stylize/{content}/{style}.tsv"
    conda:
        "../envs/nst.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=4000,
        runtime=120,
    params:
        variants=[[layers, ratio] for layers in run.layers for ratio in run.ratios],
        cells=[
            run.cell(layers, ratio).to_dict()
            for layers in run.layers
            for ratio in run.ratios
        ],
        names=pair_names,
        device=run.device,
        algorithm=ALGORITHM_VERSION,
    message:
        "Redraw {wildcards.content} in the style of {wildcards.style}"
    script:
        "../scripts/stylize.py"
