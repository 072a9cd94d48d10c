"""The page to look through all the cells; its small pictures are beside it."""

TITLE = " in ".join(
    f"{len(names)} {noun}{'s' if len(names) > 1 else ''}"
    for names, noun in ((run.contents, "picture"), (run.styles, "style"))
)


rule gallery:
    input:
        pictures=cell_files(),
        details=[path.replace(".png", ".json") for path in cell_files()],
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
        subtitle=SUBTITLE,
    message:
        "Write the gallery"
    script:
        "../scripts/gallery.py"
