"""Rules that combine cells: grids, strips, the summary table, the report's pages and the votes."""


# The rules of the other grids inherit all items that they do not set, such as `titles`.
rule overview_grid:
    input:
        contents=[paths.prepared("content", name) for name in run.contents],
        styles=[paths.prepared("style", name) for name in run.styles],
        details=expand(paths.DETAILS, content=run.contents, style=run.styles),
    output:
        grid_forms("overview", "overview_grid", "Overview", grid="contents × styles"),
    log:
        "results/logs/overview_grid.log",
    conda:
        "../envs/nst.yaml"
    params:
        builder="overview_grid",
        titles=titles,
        variants=[run.overview],
        subtitle=f"layer weighting {run.overview[0]}, α/β = {run.overview[1]}, {SUBTITLE}",
    message:
        "Draw the overview"
    script:
        "../scripts/grid.py"


use rule overview_grid as pair_grid with:
    input:
        content="results/inputs/content/{content}.png",
        style="results/inputs/style/{style}.png",
        details=paths.DETAILS,
    output:
        grid_forms("pairs/{content}/{style}{sheet}", "pair_grid", "Pairs"),
    log:
        "results/logs/pair_grid/{content}/{style}{sheet}.log",
    params:
        builder="pair_grid",
        variants=digest(run.sheets),
        subtitle=SUBTITLE,
    message:
        "Draw the grid of {wildcards.content} × {wildcards.style}"


use rule overview_grid as content_grid with:
    input:
        content="results/inputs/content/{content}.png",
        styles=[paths.prepared("style", name) for name in run.styles],
        details=expand(paths.DETAILS, style=run.styles, allow_missing=True),
    output:
        grid_forms(
            "contents/{content}/{layers}",
            "content_grid",
            "Contents",
            layers="{layers}",
        ),
    log:
        "results/logs/content_grid/{content}/{layers}.log",
    params:
        builder="content_grid",
        variants=variants_of_layers,
        subtitle=f"layer weighting {{layers}}, {SUBTITLE}",
    message:
        "Draw the grid of {wildcards.content}, layers {wildcards.layers}"


use rule overview_grid as formulation_grid with:
    output:
        grid_forms(
            "formulations",
            "formulation_grid",
            "Formulations",
            grid="recipes × pairs",
        ),
    log:
        "results/logs/formulation_grid.log",
    params:
        builder="formulation_grid",
        variants=run.places,
        recipes=titles_of_recipes,
        subtitle=SUBTITLE,
    message:
        "Draw the grid of recipes"


use rule pair_grid as recipe_grid with:
    output:
        grid_forms("recipes/{content}/{style}", "recipe_grid", "Recipes"),
    log:
        "results/logs/recipe_grid/{content}/{style}.log",
    params:
        builder="recipe_grid",
        variants=run.places,
        recipes=dated_recipes,
    message:
        "Draw the recipes of {wildcards.content} × {wildcards.style}"


rule strip:
    input:
        paths.SNAPSHOTS,
    output:
        strip=paths.STRIP,
        animation=paths.STRIP.replace(".png", ".webp"),
    log:
        "results/logs/strip/{content}/{style}/{layers}/{ratio}.log",
    conda:
        "../envs/nst.yaml"
    params:
        titles=titles,
        variant="{layers}, α/β = {ratio}",
        steps=snapshot_steps,
    message:
        "Draw the strip of {wildcards.content} × {wildcards.style}, {wildcards.layers}"
    script:
        "../scripts/strip.py"


rule summarise:
    input:
        details=expand(paths.DETAILS, content=run.contents, style=run.styles),
        votes=run.votes,
    output:
        summary="results/summary.csv",
        table="results/summary.parquet",
        traces="results/traces.parquet",
    log:
        "results/logs/summarise.log",
    conda:
        "../envs/nst.yaml"
    params:
        order=digest([*run.contents, *run.styles]),
    message:
        "Write the summary table"
    script:
        "../scripts/summarise.py"


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
        summaries=expand(
            "results/tables/{by}.{format}",
            by=["styles", "ratios", "layers"],
            format=["tex", "md"],
        ),
    log:
        "results/logs/report_pages.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Write the pages of the report"
    script:
        "../scripts/report_pages.py"


rule votes:
    input:
        table="results/summary.parquet",
        votes=run.votes,
    output:
        plot=plot_forms(
            "votes/preference", "votes", content="all", style="all", shows="votes"
        ),
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
        paths.grid_files(run),
        paths.plot_files(run),
        "results/gallery/index.html",
        rules.report_pages.output.summaries,
        ["results/votes/preference.png", "results/votes/cells.csv"] * bool(run.votes),
        table="results/summary.parquet",
    output:
        touch("results/complete"),
    log:
        "results/logs/confirm.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Check for failed cells"
    script:
        "../scripts/confirm.py"
