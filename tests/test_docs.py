"""The documentation is true: its numbers are those that ship, its names can be imported, its links lead somewhere."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import types
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillcse_kit.evaluation.power import detectable_difference
from distillcse_kit.evaluation.statistics import SeedInterval, paired_difference, seed_interval
from distillcse_kit.experiments.shipped import BUILTIN_RUN, REAL_RUN, markdown_table, shipped_run
from distillcse_kit.experiments.sweep_result import shipped_sweep, with_average
from distillcse_kit.experiments.sweeps import SWEEPS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SITE = ROOT / "site"
PAGES = sorted(DOCS.glob("*.md"))
MARKDOWN = [*PAGES, *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "figures/README.md"))]


@functools.cache
def text(name: str) -> str:
    return " ".join((DOCS / name).read_text(encoding="utf-8").split())


def hook(name: str) -> types.ModuleType:
    """A hook of the site. It is skipped where what it needs is not installed (the extra docs)."""
    for package in {
        "pages": ["mkdocs", "nbconvert"],
        "equations": ["latex2mathml"],
        "docstrings": ["griffe"],
        "requests": [],
    }[name]:
        pytest.importorskip(package, reason="builds the site: `make docs` installs it")
    spec = importlib.util.spec_from_file_location(f"hook_{name}", DOCS / "hooks" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("path", [REAL_RUN, BUILTIN_RUN], ids=["real", "builtin"])
def test_a_shipped_run_is_the_table_of_the_results(path: Path) -> None:
    run, page = shipped_run(path), (DOCS / "results.md").read_text(encoding="utf-8")
    assert run is not None and run.command.startswith("distillcse course --profile laptop")
    assert markdown_table(run.table) in page
    assert f"    {run.command}\n" in page


def test_a_shipped_sweep_is_the_table_of_its_page() -> None:
    sweep = shipped_sweep("smoothing")
    assert sweep is not None
    shown = {row: {column: values[column] for column in ("dev", "average")} for row, values in sweep.table.items()}
    assert markdown_table(shown) in (DOCS / "sweeps.md").read_text(encoding="utf-8")


def of_run(path: Path, row: str, baseline: str, column: str) -> SeedInterval:
    run = shipped_run(path)
    assert run is not None
    table = with_average(run.table) if path == REAL_RUN else run.table
    first, second = (next(name for name in table if name.startswith(start)) for start in (row, baseline))
    values, other = table[first][column], table[second][column]
    if len(other) == 1:
        return seed_interval([value - other[0] for value in values])
    return paired_difference(values, other[: len(values)])


def of_sweep(name: str, row: str, baseline: str, column: str = "average") -> SeedInterval:
    sweep = shipped_sweep(name)
    assert sweep is not None
    return paired_difference(sweep.table[row][column], sweep.table[baseline][column])


VANILLA, MANY = "vanilla distillation", "+ teacher components"
DIFFERENCES = {
    "*below* its teachers: {}": (of_run, REAL_RUN, VANILLA, "SimCSE", "average"),
    "above vanilla distillation: {}": (of_run, REAL_RUN, "+ Group-P", VANILLA, "average"),
    "does little: {}": (of_run, REAL_RUN, MANY, VANILLA, "average"),
    "DistillCSE differs by {} from vanilla": (of_run, REAL_RUN, "DistillCSE", VANILLA, "average"),
    "by {} from Group-P": (of_run, REAL_RUN, "DistillCSE", "+ Group-P", "average"),
    "by {} from the teachers": (of_run, REAL_RUN, "DistillCSE", "SimCSE", "average"),
    "significantly on dev, {}": (of_run, REAL_RUN, "DistillCSE, round 2", "DistillCSE", "dev"),
    "loses on STS-B test, {}": (of_run, REAL_RUN, "DistillCSE, round 2", "DistillCSE", "stsb"),
    "by {} over tf-idf": (of_run, BUILTIN_RUN, "SimCSE", "tf-idf", "builtin"),
    "{} above Group-P": (of_run, BUILTIN_RUN, MANY, "+ Group-P", "dev"),
    "{} above DistillCSE": (of_run, BUILTIN_RUN, MANY, "DistillCSE", "dev"),
    "is below vanilla distillation, {}": (of_run, BUILTIN_RUN, "+ Group-P", VANILLA, "dev"),
    "leaves out 0, DistillCSE: {}": (of_run, BUILTIN_RUN, "DistillCSE", "SimCSE", "kit"),
    "Group-P gains {}": (of_sweep, "smoothing", "Group-P", "not shuffled"),
    "the group mean {}": (of_sweep, "smoothing", "group mean", "not shuffled"),
    "difference of the two is {}": (of_sweep, "smoothing", "Group-P", "group mean"),
    "{} for the teacher's": (of_sweep, "cut", "cut at tau_t", "cut at 1"),
    "averaged teachers differ by {}": (of_sweep, "ensembles", "16 teachers", "1 teacher"),
    "one teacher with Group-P differ by {}": (of_sweep, "ensembles", "1 teacher, Group-P", "1 teacher"),
    "changes the score by {}": (of_sweep, "table3", "ranks 1-12", "not shuffled"),
    "p = 0.08 is below p = 0.1, significantly so: {}": (of_sweep, "table6-p", "p 0.08", "p 0.1"),
    "lambda = 0.2 is above 1, significantly so: {}": (of_sweep, "table6-lambda", "lambda 0.2", "lambda 1"),
    "*rises* here, from 98.48 to 98.77: {}": (of_sweep, "table8", "shuffled", "not shuffled", "own teacher"),
    "The student gains** {} over SimCSE": (of_sweep, "strong-teacher", "student, recipe", "SimCSE, recipe"),
    "The recipe gains {} over them": (of_sweep, "strong-teacher", "student, recipe", "student, defaults"),
    "changes the student by {}": (of_sweep, "strong-teacher", "student, Group-P", "student, recipe"),
}


@pytest.mark.parametrize("claim", DIFFERENCES)
def test_a_difference_is_that_of_the_shipped_scores(claim: str) -> None:
    how, *what = DIFFERENCES[claim]
    found = how(*what)
    said = claim.format(f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]")
    assert said in text("results.md" if how is of_run else "sweeps.md")


def test_each_difference_with_an_interval_is_looked_at() -> None:
    said = [
        found for page in ("results.md", "sweeps.md") for found in re.findall(r"[+-]\d\.\d\d \[[+-][^]]*\]", text(page))
    ]
    assert len(said) == len(DIFFERENCES)


def test_agreements_told_are_the_shipped_ones_and_the_papers() -> None:
    ours, theirs = shipped_sweep("table8"), SWEEPS["table8"].published
    assert ours is not None
    own = [np.mean(ours.table[row]["own teacher"]) for row in ("not shuffled", "shuffled")]
    others = of_sweep("table8", "shuffled", "not shuffled", "other students").mean
    rise = theirs["shuffled"]["other students"] - theirs["not shuffled"]["other students"]
    page = text("sweeps.md")
    assert f"from {own[0]:.2f} to {own[1]:.2f}" in page
    assert "it falls, from {:.2f} to {:.2f}".format(*(theirs[row]["own teacher"] for row in theirs)) in page
    assert f"does not change here ({others:+.2f}); in the paper it rises by {rise:.2f}" in page


def test_other_numbers_of_the_sweeps() -> None:
    page = text("sweeps.md")
    for name, words in (("table6-p", "five values of p"), ("table6-lambda", "of lambda"), ("table7", "temperatures")):
        sweep = shipped_sweep(name)
        assert sweep is not None
        means = [seed_interval(row["average"]).mean for row in sweep.table.values()]
        assert re.search(rf"{words}, (?:they|the means) lie between {min(means):.2f} and {max(means):.2f}", page)
    table_5, table_3, table_7 = (shipped_sweep(name) for name in ("table5", "table3", "table7"))
    assert table_5 and table_3 and table_7
    raw, students = (seed_interval(table_5.table[row]["average"]).mean for row in ("raw teacher ensemble", MANY))
    assert f"score {raw:.2f} on `average`" in page and f"of their students, {students:.2f}" in page
    assert all(
        abs(one.difference.mean) < 0.1 for row, one in table_3.compared("average").items() if row != "ranks 1-12"
    )
    decided = {"table7": [], "table6-p": ["p 0.08"], "table6-lambda": ["lambda 0.2"], "table3": [], "ensembles": []}
    for name, rows in decided.items():
        sweep = shipped_sweep(name)
        assert sweep and [row for row, one in sweep.compared("average").items() if one.decided] == rows, name


def test_the_power_of_the_comparison_of_smoothing_and_noise() -> None:
    deviation = of_sweep("smoothing", "group mean", "Group-P").standard_deviation
    five, sixteen = (detectable_difference(deviation, seeds) for seeds in (5, 16))
    said = f"scatter by {deviation:.2f} points on `average`. Five seeds would therefore find a difference of {five:.2f}"
    assert said in text("sweeps.md") and f"which find {sixteen:.2f}" in text("sweeps.md")


def test_the_gap_between_read_and_unread_batches() -> None:
    sweep = shipped_sweep("figure2")
    assert sweep is not None
    for row, words in (("not shuffled", "from the teacher is {} nats"), ("Group-P", "the gap is {}.")):
        last = {where: list(sweep.table[f"{row}: {where}, kl"].values())[-1] for where in ("unread", "read")}
        gap = paired_difference(last["unread"], last["read"])
        assert words.format(f"{gap.mean:.2f} [{gap.low:.2f}, {gap.high:.2f}]") in text("sweeps.md")


def test_differences_that_chance_would_give() -> None:
    """Of the 63 differences between trained rows of the built-in run, so many have an interval without 0."""
    run = shipped_run(BUILTIN_RUN)
    assert run is not None
    rows = list(run.table)[2:]
    found = _pairs(run.table, rows)
    assert f"there are {len(found)} pairwise differences" in text("results.md")
    assert f"{sum(one.low > 0 or one.high < 0 for one in found)} of them have an interval" in text("results.md")


def _pairs(table: dict[str, dict[str, list[float]]], rows: list[str]) -> list[SeedInterval]:
    return [
        paired_difference(table[row][task], table[other][task][: len(table[row][task])])
        for task in ("builtin", "dev", "kit")
        for place, row in enumerate(rows)
        for other in rows[:place]
    ]


# ---------------------------------------------------------------- names


def resolve(dotted: str) -> Any:
    """What a name of the map stands for: modules as far as they go, then attributes, then a key in brackets."""
    name, _, key = dotted.removesuffix('"]').partition('["')
    parts, found = name.split("."), importlib.import_module("distillcse_kit")
    for place, part in enumerate(parts):
        if not hasattr(found, part):
            importlib.import_module(".".join(["distillcse_kit", *parts[: place + 1]]))
        found = getattr(found, part)
    return found[key] if key else found


NAMES = sorted(
    set(re.findall(r"`((?:[a-z_]\w*\.)+\w+(?:\[\"[\w-]+\"\])?)`", (DOCS / "map.md").read_text(encoding="utf-8")))
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_map_can_be_imported(name: str) -> None:
    assert resolve(name) is not None


def test_the_names_of_the_page_on_python_are_those_that_the_kit_offers() -> None:
    import distillcse_kit as dk

    page = (DOCS / "python.md").read_text(encoding="utf-8")
    offered = set(re.findall(r"^\| `dk\.(\w+)` \|", page, re.MULTILINE))
    assert offered == set(dk.__all__)
    assert all(getattr(dk, name) for name in offered)
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        compile(block, "python.md", "exec")


def test_the_map_has_every_equation_figure_table_and_sweep() -> None:
    page = (DOCS / "map.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")]
    for term in (*(f"Eq {n}" for n in range(1, 8)), *(f"Table {n}" for n in range(1, 10)), "Figure 1", "Figure 2"):
        assert [row for row in rows if row.split(",")[0] == term], term
    assert all(f'SWEEPS["{name}"]' in page for name in SWEEPS)
    for line in page.splitlines():
        if line.startswith("| ") and "|---" not in line and "in the kit" not in line:
            assert len(re.findall(r"`[a-z]\w*\.[^`]+`", line)) == 1, line


def test_the_map_of_the_code_names_every_room() -> None:
    package = ROOT / "distillcse_kit"
    rooms = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    table = [
        line.split("|")[1] for line in (DOCS / "architecture.md").read_text().splitlines() if line.startswith("| `")
    ]
    named = [name.rstrip("/") for cell in table for name in re.findall(r"`([\w/]+)`", cell)]
    assert sorted(named) == sorted(rooms - {"__init__", "__main__"})


# ---------------------------------------------------------------- links


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.is_file(), target
            assert not anchor or anchor in anchors(there), target


def test_every_figure_is_listed() -> None:
    """Each picture is in a page, or the list of figures says by its beginning what it is."""
    pages = "".join(page.read_text(encoding="utf-8") for page in MARKDOWN)
    for picture in (ROOT / "figures").glob("*.png"):
        assert picture.name in pages or re.match(r"0\d_|appendix_", picture.name), picture.name


# ---------------------------------------------------------------- what builds the site


def test_links_are_turned_to_pages_of_the_site() -> None:
    pages = {"docs/data.md": "data.md", "figures/a.png": "figures/a.png", "README.md": "index.md"}
    turned = hook("pages").site_links
    assert turned("[d](docs/data.md#x) ![a](figures/a.png)", "index.md", "README.md", pages) == (
        "[d](data.md#x) ![a](figures/a.png)"
    )
    assert turned("![a](../figures/a.png)", "data.md", "docs/data.md", pages) == "![a](figures/a.png)"
    assert turned("[r](../README.md)", "figures/index.md", "figures/README.md", pages) == "[r](../index.md)"
    for text in ("[p](https://arxiv.org/abs/1)", "[h](#here)", "[gone](gone.md)"):
        assert turned(text, "index.md", "README.md", pages) == text


def test_equations_are_mathml_and_an_unknown_command_is_an_error() -> None:
    equations = hook("equations")
    page = r'<p><span class="arithmatex">\(a &lt; \arg\min_x b\)</span></p><div class="arithmatex">\[\tau_s\]</div>'
    made = equations.with_mathml(page)
    assert made.count("<math") == 2 and made.count('display="block"') == 1
    assert "arithmatex" not in made and "\\" not in made
    with pytest.raises(Exception, match="nosuch"):
        equations.mathml(r"\nosuchcommand{x}", False)


def test_docstrings_become_markdown() -> None:
    made = hook("docstrings").as_markdown(
        "Of batches [B][N], `x[0][1]`.\n\n"
        "=====  =====\nInput  Shape\n=====  =====\np      a | b\n       more\n=====  =====\n"
        "\nExample:\n    >>> x[0][1]\n    [1]"
    )
    assert r"[B]\[N], `x[0][1]`" in made
    assert "| Input | Shape |\n| --- | --- |\n| p | a \\| b more |\n" in made
    assert made.endswith("Examples:\n    >>> x[0][1]\n    [1]")


def test_requests_to_other_hosts_are_found_and_links_to_click_are_none() -> None:
    look = hook("requests").external_requests
    assert look('<script src="https://a/x.js"></script><img src="//b/y.png">') == ["https://a/x.js", "//b/y.png"]
    assert look('<link rel="stylesheet" href="https://c/z.css"><style>@import "https://d/e.css";</style>') == [
        "https://c/z.css",
        "https://d/e.css",
    ]
    assert look('<a href="https://a/">there</a><link rel="canonical" href="https://a/"><img src="y.png">') == []


# ---------------------------------------------------------------- the built site

site = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="`make docs` has not built site/ here")


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.targets += [given[name] or "" for name in ("href", "src") if name in given]
        self.names |= {given[name] or "" for name in ("id", "name") if name in given}


@functools.cache
def parsed(path: Path) -> _Links:
    found = _Links()
    found.feed(path.read_text(encoding="utf-8"))
    return found


@site
def test_every_link_of_the_site_leads_somewhere() -> None:
    broken = []
    for page in SITE.rglob("*.html"):
        if page.name == "404.html":  # served at any address, so its links are absolute
            continue
        for target in parsed(page).targets:
            if re.match(r"[a-z]+:|#|//", target) or not target:
                continue
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve()
            if not there.is_file() or (anchor and there.suffix == ".html" and anchor not in parsed(there).names):
                broken.append(f"{page.relative_to(SITE)}: {target}")
    assert broken == []


@site
def test_the_site_fetches_nothing_from_elsewhere() -> None:
    requests = hook("requests")
    pages = {page: requests.external_requests(page.read_text(encoding="utf-8")) for page in SITE.rglob("*.html")}
    styles = {page: requests.external_in_styles(page.read_text(encoding="utf-8")) for page in SITE.rglob("*.css")}
    assert {page: found for page, found in (pages | styles).items() if found} == {}


@site
def test_the_lessons_are_there_with_pictures_and_equations() -> None:
    for lesson in (ROOT / "notebooks" / "src").glob("*.py"):
        page = (SITE / "notebooks" / f"{lesson.stem}.html").read_text(encoding="utf-8")
        assert f'src="{lesson.stem}_' in page, "the notebook has no picture: it was not executed"
        assert "<math" in page and "arithmatex" not in page and "widget-view" not in page


@site
def test_the_api_pages_have_the_public_functions() -> None:
    for room, name in (
        ("method", "distillcse_kit.method.losses.contrastive_loss"),
        ("encoder", "distillcse_kit.encoder.sentence_encoder.SentenceEncoder.encode"),
        ("laboratory", "distillcse_kit.laboratory.laboratory.Laboratory"),
        ("explorers", "distillcse_kit.explorers.group_p_explorer.GroupPExplorer"),
    ):
        assert name in parsed(SITE / "api" / f"{room}.html").names
