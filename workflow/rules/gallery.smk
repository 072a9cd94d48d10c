"""The page to look through all the cells; its small pictures are beside it."""

TITLE = " in ".join(
    f"{len(names)} {noun}{'s' if len(names) > 1 else ''}"
    for names, noun in ((run.contents, "picture"), (run.styles, "style"))
)
OF_RECIPES = f"{run.settings.extractor}, each recipe at its own balance"


rule gallery:
    input:
        details=details_files(run.contents, run.styles),
        summary="results/summary.csv",
        contents=[prepared("content", name) for name in run.contents],
        styles=[prepared("style", name) for name in run.styles],
    output:
        "results/gallery/index.html",
    log:
        "results/logs/gallery.log",
    conda:
        "../envs/nst.yaml"
    params:
        title=TITLE,
        subtitle=OF_RECIPES if run.formulations else SUBTITLE,
    message:
        "Write the gallery"
    script:
        "../scripts/gallery.py"
