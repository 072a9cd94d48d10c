"""The titles of pictures, in the captions of grids and plots and in the report."""


def pair_names(wildcards):
    """Return a pair's names and titles."""
    return {
        "content_name": wildcards.content,
        "content_title": run.contents[wildcards.content].title,
        "style_name": wildcards.style,
        "style_title": run.styles[wildcards.style].title,
    }


def titles_of_pairs(wildcards):
    """List the titles of a content's pairs."""
    content = run.contents[wildcards.content].title
    return [f"{content} × {style.title}" for style in run.styles.values()]


def content_title(wildcards):
    """Return a content's title."""
    return run.contents[wildcards.content].title


def variant_label(wildcards):
    """Return the names of a cell's variant, for the title of its strip."""
    return f"{wildcards.layers}, α/β = {wildcards.ratio}"


def variants_of_layers(wildcards):
    """List ``layers`` and ``ratio`` of each cell in a row of a content's grid."""
    return run.places(wildcards.layers)


def titles_by_name(role, pictures):
    """Return a function that looks up titles: of a job's content or style, or else of all."""

    # A function, since Snakemake would read braces in a title as wildcards.
    def titles(wildcards):
        chosen = dict(wildcards.items()).get(role)
        return {
            name: pictures[name].title for name in ([chosen] if chosen else pictures)
        }

    return titles


content_titles = titles_by_name("content", run.contents)
style_titles = titles_by_name("style", run.styles)


def formulation_titles(wildcards):
    """List the recipes' titles."""
    return [one.title for one in run.recipes]


def dated_recipes(wildcards):
    """List the recipes' titles with their years."""
    return [one.dated for one in run.recipes]


def pair_labels(wildcards):
    """Return the report's labels of a pair."""
    names = pair_names(wildcards)
    return {role: report_label(names[f"{role}_title"]) for role in ("content", "style")}


def content_labels(wildcards):
    """Return the report's labels of a content's grid."""
    return {
        "content": report_label(content_title(wildcards)),
        "layers": wildcards.layers,
    }


def grid_forms(grid, caption, subcategory, labels):
    """List the three files of a grid: a PNG, a PDF, and a small JPEG for the report."""
    preview = report(
        f"results/grids/{grid}.jpg",
        caption=f"../report/{caption}.rst",
        category="Grids",
        subcategory=subcategory,
        labels=labels,
    )
    return [f"results/grids/{grid}.png", f"results/grids/{grid}.pdf", preview]


def plot_labels(style, shows):
    """Return a function for the report's labels of a plot of a content and this style."""

    def labels(wildcards):
        return {
            "content": report_label(content_title(wildcards)),
            "style": report_label(run.styles[style].title),
            "shows": shows,
        }

    return labels


def pair_plot_files(kind, shows):
    """List the plots of a content's pairs, alternately PNG and SVG; the report has the PNGs."""
    files = []
    for style in run.styles:
        path = f"results/plots/{kind}/{{content}}/{style}"
        caption = f"../report/plot_{kind}.rst"
        labels = plot_labels(style, shows)
        reported = {"caption": caption, "category": "Plots", "labels": labels}
        files += [report(f"{path}.png", **reported), f"{path}.svg"]
    return files


def effect_plot_files():
    """List the plots of the effects of α/β, the layer weighting and the settings that vary.

    PNG and SVG alternate; the report has the PNGs.
    """
    plots = [("ratios", "ratios", "α/β"), ("layers", "layers", "layer weighting")]
    plots += [(f"vary/{name}", "vary", name.replace("_", " ")) for name in run.varied]
    files = []
    for name, caption, shows in plots:
        labels = {"content": "all", "style": "all", "shows": f"effect of {shows}"}
        caption = f"../report/plot_{caption}.rst"
        reported = {"caption": caption, "category": "Plots", "labels": labels}
        path = f"results/plots/{name}"
        files += [report(f"{path}.png", **reported), f"{path}.svg"]
    return files


SUBTITLE = subtitle_of_run(run)
