"""The titles of pictures, in the captions of grids and plots and in the report."""

PICTURES = {"content": run.contents, "style": run.styles}
SUBTITLE = paths.subtitle_of_run(run)


def pair_names(wildcards):
    """Return a pair's names and titles."""
    return {
        "content_name": wildcards.content,
        "content_title": run.contents[wildcards.content].title,
        "style_name": wildcards.style,
        "style_title": run.styles[wildcards.style].title,
    }


def titles_of_recipes(wildcards):
    """List the recipes' titles: in a function, so that Snakemake takes no brace for a wildcard."""
    return [one.title for one in run.recipes]


def dated_recipes(wildcards):
    """List the recipes' titles with their years."""
    return [one.dated for one in run.recipes]


def variants_of_layers(wildcards):
    """List ``layers`` and ``ratio`` of each cell in a row of a content's grid."""
    return [place for place in run.places if place[0] == wildcards.layers]


def titles(wildcards):
    """Return titles by name: of a job's content and style, or else of all."""
    # A function, since Snakemake would read braces in a title as wildcards.
    chosen = {role: [name] for role, name in wildcards.items()}
    return {
        f"{role}s": {name: pictures[name].title for name in chosen.get(role, pictures)}
        for role, pictures in PICTURES.items()
    }


def labels_of(others):
    """Return a function for a file's labels in the report: its titles, and ``others``."""

    def labels(wildcards):
        titles = {
            role: paths.report_label(PICTURES[role][name].title)
            for role, name in wildcards.items()
            if role in PICTURES
        }
        return {**titles, **others}

    return labels


def grid_forms(path, caption, subcategory, **labels):
    """List the three files of a grid: a PNG, a PDF, and a small JPEG for the report."""
    preview = report(
        f"results/grids/{path}.jpg",
        caption=f"../report/{caption}.rst",
        category="Grids",
        subcategory=subcategory,
        labels=labels_of(labels),
    )
    return [f"results/grids/{path}.png", f"results/grids/{path}.pdf", preview]


def plot_forms(path, caption, **labels):
    """List the two files of a plot: a PNG, which the report has too, and an SVG."""
    picture = report(
        f"results/{path}.png",
        caption=f"../report/plot_{caption}.rst",
        category="Plots",
        labels=labels_of(labels),
    )
    return [picture, f"results/{path}.svg"]


def pair_plot_files(kind, shows):
    """List the plots of a content's pairs."""
    return [
        plot_forms(
            f"plots/{kind}/{{content}}/{name}",
            kind,
            style=paths.report_label(style.title),
            shows=shows,
        )
        for name, style in run.styles.items()
    ]


def effect_plot_files():
    """List the plots of the effects of α/β, the layer weighting and the settings that vary."""
    plots = [("ratios", "ratios", "α/β"), ("layers", "layers", "layer weighting")]
    plots += [(f"vary/{name}", "vary", name.replace("_", " ")) for name in run.varied]
    return [
        plot_forms(
            f"plots/{name}",
            caption,
            content="all",
            style="all",
            shows=f"effect of {shows}",
        )
        for name, caption, shows in plots
    ]
