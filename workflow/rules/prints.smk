"""Prints: chosen cells at a larger size. Only the target `prints` runs these rules."""

OF_PRINT = allocate_pair(
    [one.settings for _, _, one in run.prints] or [run.settings], run.device
)
PRINT_FILE = PrintFile.read(config.get("prints", {}))
DEEP = PRINT_FILE.deep(Path(paths.PRINT))  # None for 8 bits


use rule stylize as print with:
    input:
        content="results/inputs/content/{content}.png",
        style="results/inputs/style/{style}.png",
        extractor=EXTRACTOR,
        start=paths.CELL,
        parts=files_of_composition,
        precision=PRECISION,
    output:
        pictures=[paths.PRINT],
        details=paths.PRINT_DETAILS,
        deep=DEEP or [],
    log:
        "results/logs/print/{content}/{style}/{layers}/{ratio}.log",
    benchmark:
        "results/benchmarks/print/{content}/{style}/{layers}/{ratio}.tsv"
    resources:
        gpu=1,
        mem_mb=growing(OF_PRINT.mem_mb),
        runtime=growing(OF_PRINT.runtime),
    params:
        variants=print_digest,
        format=PRINT_FILE.format,
        dpi=PRINT_FILE.dpi,
    message:
        "Print {wildcards.content} in the style of {wildcards.style}, {wildcards.layers}"


use rule summarise as summarise_prints with:
    input:
        details=paths.of_cells(paths.PRINT_DETAILS, run.prints),
    output:
        summary="results/prints/summary.csv",
        table="results/prints/summary.parquet",
        traces="results/prints/traces.parquet",
    log:
        "results/logs/summarise_prints.log",
    params:
        order=digest(run.prints),
    message:
        "Gather the table of the prints"


use rule gallery as print_gallery with:
    input:
        table="results/prints/summary.parquet",
        traces="results/prints/traces.parquet",
        contents=[paths.prepared("content", name) for name in run.contents],
        styles=[paths.prepared("style", name) for name in run.styles],
    output:
        "results/prints/gallery/index.html",
    log:
        "results/logs/print_gallery.log",
    params:
        title="Prints",
        subtitle=f"{paths.title_of_run(run)}, {SUBTITLE}",
    message:
        "Write the gallery of the prints"


use rule confirm as prints with:
    input:
        paths.of_cells(paths.PRINT, run.prints),
        paths.of_cells(str(DEEP), run.prints) if DEEP else [],
        "results/prints/gallery/index.html",
        table="results/prints/summary.parquet",
    output:
        touch("results/prints/complete"),
    log:
        "results/logs/prints.log",
    message:
        "Check for failed prints"
