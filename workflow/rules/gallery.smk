"""The gallery: a page of all cells, with small pictures beside it."""


rule gallery:
    input:
        table="results/summary.parquet",
        traces="results/traces.parquet",
        contents=[paths.prepared("content", name) for name in run.contents],
        styles=[paths.prepared("style", name) for name in run.styles],
    output:
        "results/gallery/index.html",
    log:
        "results/logs/gallery.log",
    conda:
        "../envs/nst.yaml"
    params:
        title=paths.title_of_run(run),
        subtitle=SUBTITLE,
    message:
        "Write the gallery"
    script:
        "../scripts/gallery.py"


# Only the report uses this copy: it includes a page with pictures only as a folder.
rule report_gallery:
    input:
        "results/gallery/index.html",
    output:
        report(
            directory("results/report/gallery"),
            htmlindex="index.html",
            caption="../report/gallery.rst",
            category="Gallery",
            labels={"page": "all pictures"},
        ),
    log:
        "results/logs/report_gallery.log",
    conda:
        "../envs/nst.yaml"
    message:
        "Copy the gallery for the report"
    shell:
        "cp -r results/gallery {output:q} > {log:q} 2>&1"
