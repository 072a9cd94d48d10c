"""What is drawn from the tables: a pair's cells and losses, and what the settings do."""

PLOT = "results/plots/{kind}/{{content}}/{{style}}.{format}"


def plot_files():
    """List the plots: of every pair, and of the grid as a whole."""
    return [
        *expand(
            "results/plots/{kind}/{c}/{s}.{format}",
            kind=["pairs", "losses"],
            c=run.contents,
            s=run.styles,
            format=["png", "svg"],
        ),
        *expand(
            "results/plots/{kind}.{format}",
            kind=["ratios", "layers"],
            format=["png", "svg"],
        ),
    ]


rule pair_plot:
    input:
        summary="results/summary.parquet",
        traces="results/traces.parquet",
    output:
        pair=expand(PLOT, kind="pairs", format=["png", "svg"]),
        losses=expand(PLOT, kind="losses", format=["png", "svg"]),
    log:
        "results/logs/pair_plot/{content}/{style}.log",
    conda:
        "../envs/nst.yaml"
    params:
        titles=pair_titles,
    message:
        "Plot the cells of {wildcards.content} × {wildcards.style}"
    script:
        "../scripts/pair_plot.py"


rule effect_plots:
    input:
        "results/summary.parquet",
    output:
        ratios=expand("results/plots/ratios.{format}", format=["png", "svg"]),
        layers=expand("results/plots/layers.{format}", format=["png", "svg"]),
    log:
        "results/logs/effect_plots.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Plot what the ratios and the layer weights do"
    script:
        "../scripts/effect_plots.py"
