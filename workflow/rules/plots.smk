"""Plots of the tables: each pair's cells and losses, and the effects of the settings."""


# One job for all the pairs of a content: most of a job's time is its start.
rule pair_plots:
    input:
        table="results/summary.parquet",
        traces="results/traces.parquet",
    output:
        pairs=pair_plot_files("pairs", "cells"),
        losses=pair_plot_files("losses", "losses"),
    log:
        "results/logs/pair_plots/{content}.log",
    conda:
        "../envs/nst.yaml"
    params:
        titles=titles,
    message:
        "Plot the cells of {wildcards.content}"
    script:
        "../scripts/pair_plots.py"


rule effect_plots:
    input:
        "results/summary.parquet",
    output:
        effect_plot_files(),
    log:
        "results/logs/effect_plots.log",
    conda:
        "../envs/nst.yaml"
    params:
        axes=["ratio", "layers", *run.varied],
    message:
        "Plot the effects of α/β, the layer weighting and the settings that vary"
    script:
        "../scripts/effect_plots.py"
