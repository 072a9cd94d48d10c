"""What is gathered from the cells: grids and the summary table."""

RATIOS = list(run.ratios)
STYLE_TITLES = [picture.title for picture in run.styles.values()]
SUBTITLE = (
    f"{run.settings.extractor}, {run.settings.formulation} losses, "
    f"{run.settings.image_size} px, {run.settings.iterations} iterations"
)


rule pair_grid:
    input:
        content="results/inputs/content/{content}.png",
        style="results/inputs/style/{style}.png",
        pictures=VARIANT_CELLS,
    output:
        "results/grids/pairs/{content}/{style}.png",
    log:
        "results/logs/pair_grid/{content}/{style}.log",
    conda:
        "../envs/nst.yaml"
    params:
        titles=pair_titles,
        layers=list(run.layers),
        ratios=RATIOS,
        subtitle=SUBTITLE,
    message:
        "Draw the grid of {wildcards.content} × {wildcards.style}"
    script:
        "../scripts/pair_grid.py"


rule content_grid:
    input:
        content="results/inputs/content/{content}.png",
        styles=[prepared("style", name) for name in run.styles],
        pictures=cell_files(content="{content}", layers="{layers}"),
    output:
        "results/grids/contents/{content}/{layers}.png",
    log:
        "results/logs/content_grid/{content}/{layers}.log",
    conda:
        "../envs/nst.yaml"
    params:
        title=content_title,
        style_titles=STYLE_TITLES,
        ratios=RATIOS,
        subtitle=f"layer weights {{layers}}, {SUBTITLE}",
    message:
        "Draw the grid of {wildcards.content}, layers {wildcards.layers}"
    script:
        "../scripts/content_grid.py"


rule overview_grid:
    input:
        contents=[prepared("content", name) for name in run.contents],
        styles=[prepared("style", name) for name in run.styles],
        pictures=cell_files(layers=run.overview[0], ratio=run.overview[1]),
    output:
        "results/grids/overview.png",
    log:
        "results/logs/overview_grid.log",
    conda:
        "../envs/nst.yaml"
    params:
        content_titles=[picture.title for picture in run.contents.values()],
        style_titles=STYLE_TITLES,
        subtitle=f"layer weights {run.overview[0]}, α/β = {run.overview[1]}, {SUBTITLE}",
    message:
        "Draw the overview"
    script:
        "../scripts/overview_grid.py"


rule summarise:
    input:
        pictures=cell_files(),
    output:
        "results/summary.csv",
    log:
        "results/logs/summarise.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Gather the summary table"
    script:
        "../scripts/summarise.py"


rule confirm:
    input:
        grid_files(),
        summary="results/summary.csv",
    output:
        touch("results/complete"),
    log:
        "results/logs/confirm.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Look for failed cells"
    script:
        "../scripts/confirm.py"
