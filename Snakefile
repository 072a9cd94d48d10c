"""Neural style transfer as a reproducible batch job: the index of the workflow."""

from snakemake.utils import min_version

min_version("9.5")

if not workflow.overwrite_configfiles:  # else Snakemake would merge the two grids

    configfile: f"{workflow.current_basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/titles.smk"
include: "workflow/rules/lookups.smk"
include: "workflow/rules/inputs.smk"
include: "workflow/rules/stylize.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/plots.smk"
include: "workflow/rules/gallery.smk"
include: "workflow/rules/prints.smk"


# Snakemake calls these handlers neither in a dry run nor in the processes of the jobs.
onstart:
    start_run()


onsuccess:
    stop_watcher()
    end_run()


onerror:
    stop_watcher(finished=False)
    end_run()


rule all:
    default_target: True
    input:
        paths.of_cells(paths.CELL, run.cells),
        expand(paths.DETAILS, content=run.contents, style=run.styles),
        paths.grid_files(run),
        paths.plot_files(run),
        "results/summary.csv",
        "results/gallery/index.html",
        "results/report/table.html",
        "results/report/made_with.html",
        "results/complete",
    message:
        "Look at results/gallery/index.html"
