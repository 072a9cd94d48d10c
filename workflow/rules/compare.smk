"""What is gathered from the cells: grids and the summary table."""

RATIOS = run.ratios


rule pair_grid:
    input:
        content="results/inputs/content/{content}.png",
        style="results/inputs/style/{style}.png",
        details=DETAILS,
    output:
        picture="results/grids/pairs/{content}/{style}{sheet}.png",
        pages="results/grids/pairs/{content}/{style}{sheet}.pdf",
        preview=report(
            "results/grids/pairs/{content}/{style}{sheet}.jpg",
            caption="../report/pair_grid.rst",
            category="Grids",
            subcategory="Pairs",
            labels=pair_labels,
        ),
    log:
        "results/logs/pair_grid/{content}/{style}{sheet}.log",
    conda:
        "../envs/nst.yaml"
    params:
        titles=pair_titles,
        sheets=sheets_digest(run.sheets),
        subtitle=SUBTITLE,
    message:
        "Draw the grid of {wildcards.content} × {wildcards.style}"
    script:
        "../scripts/pair_grid.py"


rule content_grid:
    input:
        content="results/inputs/content/{content}.png",
        styles=[prepared("style", name) for name in run.styles],
        details=details_files(["{content}"], run.styles),
    output:
        picture="results/grids/contents/{content}/{layers}.png",
        pages="results/grids/contents/{content}/{layers}.pdf",
        preview=report(
            "results/grids/contents/{content}/{layers}.jpg",
            caption="../report/content_grid.rst",
            category="Grids",
            subcategory="Contents",
            labels=content_labels,
        ),
    log:
        "results/logs/content_grid/{content}/{layers}.log",
    conda:
        "../envs/nst.yaml"
    params:
        title=content_title,
        styles=list(run.styles),
        style_titles=style_titles,
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
        details=details_files(run.contents, run.styles),
    output:
        picture="results/grids/overview.png",
        pages="results/grids/overview.pdf",
        preview=report(
            "results/grids/overview.jpg",
            caption="../report/overview_grid.rst",
            category="Grids",
            subcategory="Overview",
            labels={"grid": "contents × styles"},
        ),
    log:
        "results/logs/overview_grid.log",
    conda:
        "../envs/nst.yaml"
    params:
        contents=list(run.contents),
        styles=list(run.styles),
        variant=run.overview,
        content_titles=content_titles,
        style_titles=style_titles,
        subtitle=f"layer weights {run.overview[0]}, α/β = {run.overview[1]}, {SUBTITLE}",
    message:
        "Draw the overview"
    script:
        "../scripts/overview_grid.py"


rule formulation_grid:
    input:
        contents=[
            prepared("content", name) for name in run.contents for _ in run.styles
        ],
        styles=[prepared("style", name) for _ in run.contents for name in run.styles],
        details=details_files(run.contents, run.styles),
    output:
        picture="results/grids/formulations.png",
        pages="results/grids/formulations.pdf",
        preview=report(
            "results/grids/formulations.jpg",
            caption="../report/formulation_grid.rst",
            category="Grids",
            subcategory="Formulations",
            labels={"grid": "recipes × pairs"},
        ),
    log:
        "results/logs/formulation_grid.log",
    conda:
        "../envs/nst.yaml"
    params:
        pairs=[(content, style) for content in run.contents for style in run.styles],
        variants=[(one.layers, one.ratio) for one in run.variants],
        formulations=formulation_titles,
        subtitle=f"{run.settings.extractor}, each at its own balance of content and style",
    message:
        "Draw the grid of the formulations"
    script:
        "../scripts/formulation_grid.py"


rule recipe_grid:
    input:
        content="results/inputs/content/{content}.png",
        style="results/inputs/style/{style}.png",
        details=DETAILS,
    output:
        picture="results/grids/recipes/{content}/{style}.png",
        pages="results/grids/recipes/{content}/{style}.pdf",
        preview=report(
            "results/grids/recipes/{content}/{style}.jpg",
            caption="../report/recipe_grid.rst",
            category="Grids",
            subcategory="Recipes",
            labels=pair_labels,
        ),
    log:
        "results/logs/recipe_grid/{content}/{style}.log",
    conda:
        "../envs/nst.yaml"
    params:
        titles=pair_titles,
        variants=[(one.layers, one.ratio) for one in run.variants],
        recipes=dated_recipes,
        subtitle=f"{run.settings.extractor}, each at its own balance of content and style",
    message:
        "Draw the recipes of {wildcards.content} × {wildcards.style}"
    script:
        "../scripts/recipe_grid.py"


def snapshot_steps(wildcards):
    """List the steps of a cell's snapshots."""
    for one in run.with_snapshots:
        if (one.layers, one.ratio) == (wildcards.layers, wildcards.ratio):
            return list(one.settings.snapshots)


rule strip:
    input:
        SNAPSHOTS,
    output:
        strip=STRIP,
        animation=STRIP.replace(".png", ".webp"),
    log:
        "results/logs/strip/{content}/{style}/{layers}/{ratio}.log",
    conda:
        "../envs/nst.yaml"
    params:
        titles=pair_titles,
        variant=variant_label,
        steps=snapshot_steps,
    message:
        "Draw the strip of {wildcards.content} × {wildcards.style}, {wildcards.layers}"
    script:
        "../scripts/strip.py"


rule summarise:
    input:
        details=details_files(run.contents, run.styles),
        votes=run.votes,
    output:
        summary="results/summary.csv",
        table="results/summary.parquet",
        traces="results/traces.parquet",
    log:
        "results/logs/summarise.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Gather the summary table"
    script:
        "../scripts/summarise.py"


SUMMARIES = expand(
    "results/tables/{by}.{format}",
    by=["styles", "ratios", "layers"],
    format=["tex", "md"],
)


rule report_pages:
    input:
        "results/summary.parquet",
    output:
        table=report(
            "results/report/table.html",
            caption="../report/table.rst",
            category="Table",
            labels={"page": "all cells"},
        ),
        made_with=report(
            "results/report/made_with.html",
            caption="../report/made_with.rst",
            category="Settings",
            labels={"page": "settings, versions and devices"},
        ),
        summaries=SUMMARIES,
    log:
        "results/logs/report_pages.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Write the pages of the report"
    script:
        "../scripts/report_pages.py"


OF_VOTES = [
    "results/votes/preference.png",
    "results/votes/cells.csv",
] * bool(run.votes)


rule votes:
    input:
        table="results/summary.parquet",
        votes=run.votes,
    output:
        plot=report(
            "results/votes/preference.png",
            caption="../report/plot_votes.rst",
            category="Plots",
            labels={"content": "all", "style": "all", "shows": "votes"},
        ),
        drawing="results/votes/preference.svg",
        cells="results/votes/cells.csv",
        variants="results/votes/variants.csv",
        agreement="results/votes/agreement.csv",
    log:
        "results/logs/votes.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Count the votes"
    script:
        "../scripts/votes.py"


rule confirm:
    input:
        grid_files(run),
        plot_files(run),
        "results/gallery/index.html",
        SUMMARIES,
        OF_VOTES,
        table="results/summary.parquet",
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
