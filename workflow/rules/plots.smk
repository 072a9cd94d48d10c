"""What is drawn from the tables: a pair's cells and losses, and what the settings do."""

FORMATS = ["png", "svg"]
PLOT = "results/plots/{kind}/{{content}}/{style}.{format}"


# One job for all the pairs of a content: most of a job's time is its start.
rule pair_plots:
    input:
        summary="results/summary.parquet",
        traces="results/traces.parquet",
    output:
        pairs=expand(PLOT, kind="pairs", style=run.styles, format=FORMATS),
        losses=expand(PLOT, kind="losses", style=run.styles, format=FORMATS),
    log:
        "results/logs/pair_plots/{content}.log",
    conda:
        "../envs/nst.yaml"
    params:
        styles=list(run.styles),
        titles=titles_of_pairs,
    message:
        "Plot the cells of {wildcards.content}"
    script:
        "../scripts/pair_plots.py"


rule effect_plots:
    input:
        "results/summary.parquet",
    output:
        ratios=expand("results/plots/ratios.{format}", format=FORMATS),
        layers=expand("results/plots/layers.{format}", format=FORMATS),
    log:
        "results/logs/effect_plots.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Plot what the ratios and the layer weights do"
    script:
        "../scripts/effect_plots.py"
