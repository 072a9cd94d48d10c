"""What pictures are called: in the captions of grids and plots, and in the report."""


def pair_names(wildcards):
    """Return a pair's names and titles."""
    return {
        "content_name": wildcards.content,
        "content_title": run.contents[wildcards.content].title,
        "style_name": wildcards.style,
        "style_title": run.styles[wildcards.style].title,
    }


def pair_titles(wildcards):
    """Return the titles of a pair's images."""
    return {
        "content": run.contents[wildcards.content].title,
        "style": run.styles[wildcards.style].title,
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


# Functions, since Snakemake would take braces in a title for wildcards.
def style_titles(wildcards):
    """List the styles' titles."""
    return [picture.title for picture in run.styles.values()]


def content_titles(wildcards):
    """List the contents' titles."""
    return [picture.title for picture in run.contents.values()]


def formulation_titles(wildcards):
    """List the recipes' titles."""
    return list(run.formulations.values())


def dated_recipes(wildcards):
    """List the recipes' titles with their years."""
    return run.dated_recipes


def report_label(text):
    """Return text as the report can take it: no wildcards, and nothing that ends its script."""
    return text.replace("{", "(").replace("}", ")").replace("</", "<\N{WORD JOINER}/")


def pair_labels(wildcards):
    """Return what the report lists a pair under."""
    return {role: report_label(title) for role, title in pair_titles(wildcards).items()}


def content_labels(wildcards):
    """Return what the report lists the grid of a content under."""
    return {
        "content": report_label(content_title(wildcards)),
        "layers": wildcards.layers,
    }


def plot_labels(style, shows):
    """Return a function of what the report lists a plot of a content and this style under."""

    def labels(wildcards):
        return {
            "content": report_label(content_title(wildcards)),
            "style": report_label(run.styles[style].title),
            "shows": shows,
        }

    return labels


def pair_plot_files(kind, shows):
    """List the plots of a content's pairs, PNG and SVG by turns; the report has the PNGs."""
    files = []
    for style in run.styles:
        path = f"results/plots/{kind}/{{content}}/{style}"
        caption = f"../report/plot_{kind}.rst"
        labels = plot_labels(style, shows)
        reported = {"caption": caption, "category": "Plots", "labels": labels}
        files += [report(f"{path}.png", **reported), f"{path}.svg"]
    return files


def setting_plot_files():
    """List the plots of what the settings that vary do, PNG and SVG by turns."""
    files = []
    for name in run.varied:
        shows = f"effect of {name.replace('_', ' ')}"
        labels = {"content": "all", "style": "all", "shows": shows}
        reported = {
            "caption": "../report/plot_vary.rst",
            "category": "Plots",
            "labels": labels,
        }
        path = f"results/plots/vary/{name}"
        files += [report(f"{path}.png", **reported), f"{path}.svg"]
    return files


def said(name, text):
    """Return what all variants have in common, for the captions of grids."""
    values = {str(getattr(one.settings, name)) for one in run.variants}
    return [text.format(values.pop())] if len(values) == 1 else []


SUBTITLE = ", ".join(
    [
        run.settings.extractor,
        *said("style_loss", "{} loss"),
        *said("image_size", "{} px"),
        *said("iterations", "{} iterations"),
    ]
)
