"""The tutorial: its commands run and print the expected output."""

import json
import re
import zipfile

import pandas as pd
import pytest
from PIL import Image
from tutorial import PAGE, follow, read_steps
from workflow_runs import details

# What makes the page's run quick: one pair, small pictures, and few steps.
QUICK = {
    **{", photos/coffee.png": "", ", great_wave_study, impression_sunrise_study": ""},
    **{"image_size: 192": "image_size: 48", "growth: 20": "growth: 2", "=768": "=192"},
}


def quick_page() -> str:
    """Return the page with a quicker run; the commands before it plan the page's own run."""
    plan, run = PAGE.split("## Run\n")
    run = plan[plan.index("Save this as `my.yaml`") : plan.index("The photographs are")] + run
    for given, quick in QUICK.items():
        assert given in run
        run = run.replace(given, quick)
    return plan + run


def test_every_command_is_in_a_block_that_is_run():
    commands = "".join(step.commands for step in read_steps(PAGE))
    outside = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"^(    |\t)", outside, re.MULTILINE), "every block is fenced"
    quoted = re.findall(r"`([^`]+)`", outside)
    assert len(quoted) > 10
    for one in quoted:
        if re.match(r"(make|nst|snakemake|\.venv/bin/\w+) ", one):
            assert one in commands


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv("CORES", "1")  # for make; other tests use the other cores
    here = tmp_path / "nst"
    checked = 0
    for step in follow(tmp_path, quick_page()):
        for line in step.expected:
            pattern = ".*".join(map(re.escape, line.split("…")))
            assert re.search(f"^{pattern}$", step.output, re.MULTILINE), (line, step.output)
        for name in re.findall(r"`((?:results|photos)/[^`]*)`", step.said):
            assert (here / name).exists(), (step.commands, name)
            checked += 1
    assert checked > 8
    reused = {name: cell.reused for name, cell in details(here).items()}
    assert reused == {
        f"cat/starry_night_study/relative/{ratio}": ratio == "1e-1" for ratio in ("1e0", "1e-1")
    }, "the second run computes only the new cells"
    (star,) = json.loads((here / "starred.json").read_text("utf-8"))
    (row,) = pd.read_csv(here / "results/prints/summary.csv").to_dict("records")
    assert star.items() <= {**row, "ratio": star["ratio"]}.items()
    with Image.open(here / row["path"]) as picture:
        assert max(picture.size) == 192
    with zipfile.ZipFile(here / "results/report.zip") as report:
        assert "report/report.html" in report.namelist()
