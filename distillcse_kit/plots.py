"""Every figure of the kit: pure functions that draw one result into given axes, and ``show``, which saves and displays.

Colours are those of Okabe and Ito, told apart by colour-blind readers; where two things must be told apart, marks
and line styles differ as well.
"""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator, StrMethodFormatter

from distillcse_kit.components import Component
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import seed_interval
from distillcse_kit.evaluation.sts import spearman
from distillcse_kit.store import new_file
from distillcse_kit.targets import MeanOfShuffles, RowGroups, ShuffleCost
from distillcse_kit.variance import AveragingLaw, Spread, SpreadByRank, TopAgreement, TwoSamples

History = Sequence[Mapping[str, float]]

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#4D4D4D")
GREY = "#767676"
LINES = ("-", "--", "-.", ":")
DPI = 150

STYLE: dict[str, Any] = {
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlepad": 9,
    "axes.titley": 1.0,  # said, since matplotlib else measures all tick labels to place a title
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "figure.facecolor": "white",
    "font.size": 10,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 2,
}


def new_axes(rows: int = 1, columns: int = 1, width: float = 7, height: float = 4) -> tuple[Figure, Any]:
    """A figure of ``width`` x ``height`` inches in the kit's style; one Axes, or an array as in plt.subplots."""
    matplotlib.rcParams.update(STYLE)  # type: ignore[arg-type]
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained")


def png_bytes(figure: Figure, settings: Mapping[str, Any] | None = None, title: str = "") -> bytes:
    """The figure as a PNG of 150 dpi; ``settings`` go into its text metadata as JSON. Closes the figure."""
    metadata = {"Title": title, "Settings": json.dumps(settings or {}, sort_keys=True, default=str)}
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata=metadata)
    plt.close(figure)
    return buffer.getvalue()


def show(
    figure: Figure,
    name: str,
    folder: str | Path = "",
    settings: Mapping[str, Any] | None = None,
    displayed: bool = True,
) -> None:
    """Display a figure in the notebook, save it if a folder is given, and close it.

    Args:
        figure: made by ``new_axes``.
        name: of the file, without ".png".
        folder: where to save; "" saves nothing.
        settings: what the figure was made from, written into the PNG ("Settings"), so that it can be traced.
        displayed: False only saves.
    """
    content = png_bytes(figure, settings, title=name)
    if folder:
        with new_file(Path(folder) / f"{name}.png") as path:
            path.write_bytes(content)
            path.chmod(0o644)
    if displayed:
        # More dots than CSS pixels: sharp on dense screens, and never wider than a notebook's column.
        display(Image(data=content, format="png", width=int(figure.get_figwidth() * 105), alt=name.replace("_", " ")))


def _by_step(runs: Sequence[History], value: str) -> tuple[np.ndarray, list[list[float]]]:
    """The steps at which any run has ``value``, and all runs' values at each."""
    found: dict[float, list[float]] = {}
    for history in runs:
        for row in history:
            if value in row:
                found.setdefault(row["step"], []).append(row[value])
    steps = sorted(found)
    return np.asarray(steps, dtype=float), [found[step] for step in steps]


AXIS_LABELS = {
    "dev": "dev score: Spearman × 100",
    "loss": "training loss (nats)",
    "contrastive": "contrastive loss (nats)",
    "distillation": "distillation loss (nats)",
}


def draw_history(ax: Axes, histories: Mapping[str, Sequence[History]], value: str = "dev") -> None:
    """One value over training: a line of means for each label, and the band from the lowest to the highest seed.

    Args:
        ax: to draw into.
        histories: {label: ``Run.history`` of each seed}; labels whose runs never logged the value are left out.
        value: a column of the history: dev, loss, contrastive or distillation.
    """
    for number, (label, runs) in enumerate(histories.items()):
        steps, values = _by_step(runs, value)
        if not len(steps):
            continue
        colour, line = PALETTE[number % len(PALETTE)], LINES[number % len(LINES)]
        mark = "o" if len(steps) < 12 else ""
        ax.plot(steps, [np.mean(row) for row in values], line, color=colour, marker=mark, markersize=4, label=label)
        lowest, highest = [min(row) for row in values], [max(row) for row in values]
        ax.fill_between(steps, lowest, highest, color=colour, alpha=0.15, linewidth=0)
    ax.set_xlabel("step   (line: mean of the seeds; band: lowest to highest)")
    ax.set_ylabel(AXIS_LABELS.get(value, value))
    if ax.lines:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)


def draw_score_table(ax: Axes, table: Mapping[str, Sequence[float]], baseline: str | None = None) -> None:
    """Scores of several methods: a small dot a seed, the mean with its 95% t interval, the numbers at the right.

    Args:
        ax: to draw into; about 0.4 inches of height a row are enough.
        table: {label: scores over seeds}, drawn from top to bottom.
        baseline: a label whose mean is drawn as a line through all rows.

    Raises:
        KitError: an unknown baseline, or a row without finite scores.
    """
    if baseline is not None and baseline not in table:
        raise KitError(f"Unknown baseline {baseline!r}; choose one of {', '.join(table)}.")
    for row, (label, scores) in enumerate(table.items()):
        interval = seed_interval(scores)
        colour = GREY if label == baseline else PALETTE[0]
        if interval.n > 1:
            ax.plot([interval.low, interval.high], [row, row], color=colour, linewidth=2.5, solid_capstyle="butt")
            ax.plot(scores, np.full(len(scores), row + 0.22), ".", color=colour, alpha=0.55, markersize=6)
        ax.plot(interval.mean, row, "D", color=colour, markersize=7)
        ax.annotate(
            str(interval),
            (1.01, row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
    if baseline is not None:
        ax.axvline(float(np.mean(table[baseline])), color=GREY, linestyle="--", linewidth=1.2, zorder=0)
    ax.set_yticks(range(len(table)), ["\n".join(textwrap.wrap(label, 34)) for label in table])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("Spearman × 100   (diamond and bar: mean, 95% interval; dots: seeds)")


def draw_information_bound(ax: Axes, histories: Mapping[str, Sequence[History]], batch_size: int) -> None:
    """The InfoNCE bound ln N - l_cl over training, in nats, under its ceiling ln N.

    I(h; h+) >= ln N - l_cl: the contrastive loss read as information; no batch of N can prove more than ln N.
    """
    if batch_size < 1:
        raise KitError(f"batch_size is {batch_size}; it must be at least 1.")
    ceiling = float(np.log(batch_size))
    for number, (label, runs) in enumerate(histories.items()):
        steps, losses = _by_step(runs, "contrastive")
        if not len(steps):
            continue
        colour, line = PALETTE[number % len(PALETTE)], LINES[number % len(LINES)]
        mark = "o" if len(steps) < 12 else ""
        ax.plot(
            steps,
            [ceiling - np.mean(row) for row in losses],
            line,
            color=colour,
            marker=mark,
            markersize=4,
            label=label,
        )
        lowest, highest = [ceiling - max(row) for row in losses], [ceiling - min(row) for row in losses]
        ax.fill_between(steps, lowest, highest, color=colour, alpha=0.15, linewidth=0)
    ax.axhline(ceiling, color=GREY, linestyle="--", linewidth=1.2, label=f"ceiling ln {batch_size} = {ceiling:.2f}")
    ax.set_xlabel("step   (line: mean of the seeds; band: lowest to highest)")
    ax.set_ylabel("ln N - contrastive loss (nats)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3)


def draw_pair_scatter(
    ax: Axes, predicted: Sequence[float] | np.ndarray, gold: Sequence[float] | np.ndarray, label: str
) -> None:
    """Cosine against gold similarity, a dot a pair, with the Spearman correlation in the title."""
    ax.plot(gold, predicted, "o", color=PALETTE[0], alpha=0.3, markersize=4, markeredgewidth=0)
    ax.set_xlabel("gold similarity")
    ax.set_ylabel("cosine")
    ax.set_title(f"{label}: Spearman × 100 = {spearman(predicted, gold):.1f}, {len(gold)} pairs")


def score_frame(table: Mapping[str, Mapping[str, Sequence[float]]]) -> pd.DataFrame:
    """{method: {task: scores over seeds}} as a table of "mean ± half width of the 95% interval", a row a method."""
    rows = {
        method: {task: str(seed_interval(scores)) for task, scores in tasks.items()} for method, tasks in table.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


def plain(text: str, width: int = 0) -> str:
    """Text for a figure: dollar signs stay dollar signs, and ``width`` > 0 shortens it to that many characters."""
    short = text if not width or len(text) <= width else text[: width - 1].rstrip() + "…"
    return short.replace("$", r"\$")


# Notebook 02: teachers' variance


def comparison_frame(comparisons: Sequence[TwoSamples]) -> pd.DataFrame:
    """Table 1 of the paper: mean ± std, coefficient of variation, and KL by two named estimators."""
    rows = {}
    for item in comparisons:
        train, test = item.train_moments, item.test_moments
        rows[item.name] = {
            "training": f"{train.mean:.3g} ± {train.std:.2g}",
            "test": f"{test.mean:.3g} ± {test.std:.2g}",
            "std / |mean|, training": f"{train.coefficient:.0%}",
            "std / |mean|, test": f"{test.coefficient:.0%}",
            "KL, histograms": f"{item.kl_histogram:.3f}",
            "KL, Gaussians": f"{item.kl_gaussian:.3f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def spread_frame(spreads: Sequence[Spread]) -> pd.DataFrame:
    """Table 2 of the paper, with two columns that do not depend on the unit."""
    rows = {
        item.name: {
            "std over teachers": f"{item.over_teachers:.3g}",
            "entropy (the same, as a log)": f"{item.entropy:.2f}",
            "std / |mean|": f"{item.coefficient:.0%}" if item.coefficient < math.inf else "mean is 0",
            "std over items": f"{item.over_items:.3g}",
            "noise / signal": f"{item.noise_to_signal:.2f}",
        }
        for item in spreads
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def component_frame(components: Sequence[Component]) -> pd.DataFrame:
    """Variance components as a table: standard deviation, its interval, and the share of the variance."""
    rows = {
        part.name: {
            "standard deviation": f"{math.sqrt(max(part.variance, 0)):.4f}",
            "95% interval": f"{math.sqrt(part.low):.4f} to {math.sqrt(part.high):.4f}",
            "share of variance": f"{part.share:.1%}",
        }
        for part in components
    }
    return pd.DataFrame(rows).T


def draw_components(ax: Axes, components: Sequence[Component], teachers: int) -> None:
    """Standard deviation of each part of a single teacher's logits, and what a mean of all teachers leaves of it."""
    names = [part.name for part in components]
    values = [math.sqrt(max(part.variance, 0)) for part in components]
    errors = [
        [value - math.sqrt(part.low) for value, part in zip(values, components, strict=True)],
        [math.sqrt(part.high) - value for value, part in zip(values, components, strict=True)],
    ]
    left = [
        value / math.sqrt(1 if part.name == "pair" else teachers)
        for value, part in zip(values, components, strict=True)
    ]
    places = np.arange(len(names))
    ax.barh(places - 0.2, values, 0.36, xerr=np.clip(errors, 0, None), capsize=3, label="one teacher")
    ax.barh(places + 0.2, left, 0.36, color=GREY, hatch="//", edgecolor="white", label=f"mean of {teachers} teachers")
    ax.set_yticks(places, names)
    ax.invert_yaxis()
    ax.set_xlabel("standard deviation of a cosine")
    ax.legend(loc="lower right")


def draw_sorted_magnitudes(ax: Axes, comparison: TwoSamples) -> None:
    """Figure 1 of the paper: all values from the largest to the smallest, training batches against test pairs."""
    samples = (("training batches", comparison.train, "-"), ("test", comparison.test, "--"))
    for number, (label, values, line) in enumerate(samples):
        share = np.arange(len(values)) / max(len(values) - 1, 1)
        ax.plot(100 * share, values, line, color=PALETTE[number], label=f"{label} ({len(values):,})")
    ax.set_xlabel("rank, in % of the values (largest at the left)")
    ax.set_ylabel("value")
    ax.set_title(f"{comparison.name}\nmeans lie {comparison.gap:.1f} training std apart")
    ax.legend()


def draw_noise_to_signal(ax: Axes, spreads: Sequence[Spread]) -> None:
    """A bar a quantity: its spread over teachers in units of its spread over sentences or pairs."""
    values = [item.noise_to_signal for item in spreads]
    bars = ax.barh(range(len(values)), values, color=[PALETTE["2nd" in s.name or "t_ij" in s.name] for s in spreads])
    ax.bar_label(bars, [f"{value:.2f}" for value in values], padding=4)
    ax.set_yticks(range(len(values)), [item.name for item in spreads])
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("spread over teachers / spread over items")


def draw_beside_paper(ax: Axes, ours: Mapping[str, float], paper: Mapping[str, float]) -> None:
    """Two bars a row, ours and the paper's, in per cent: coefficients of variation, which have no unit."""
    rows = list(ours)
    places = np.arange(len(rows))
    for shift, label, values, colour in ((-0.19, "here", ours, PALETTE[0]), (0.19, "the paper", paper, PALETTE[1])):
        bars = ax.barh(places + shift, [100 * values[row] for row in rows], 0.34, color=colour, label=label)
        ax.bar_label(bars, [f"{values[row]:.0%}" for row in rows], padding=4)
    ax.set_yticks(places, rows)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.12)
    ax.set_xlabel("standard deviation / |mean|, %")
    ax.legend()


def draw_agreement(ax: Axes, agreements: Sequence[TopAgreement], published: tuple[int, float] | None = None) -> None:
    """Spearman between teachers against how many of the largest logits are compared; the paper's one value a square."""
    if published is not None:
        ax.plot(*published, "s", color=PALETTE[1], markersize=8, label=f"the paper, top {published[0]}: {published[1]}")
        ax.legend(loc="lower right")
    ax.plot([item.k for item in agreements], [item.mean for item in agreements], "o-", color=PALETTE[0])
    low, high = ([pick(item.by_batch) for item in agreements] for pick in (np.min, np.max))
    ax.fill_between([item.k for item in agreements], low, high, color=PALETTE[0], alpha=0.15, linewidth=0)
    for item in agreements:
        ax.annotate(
            f"{item.mean:.0f}", (item.k, item.mean), (0, 8), textcoords="offset points", ha="center", fontsize=9
        )
    ax.set_ylim(0, 108)
    ax.set_xlabel("k: the largest logits of a row that are compared")
    ax.set_ylabel("Spearman × 100 between two teachers")


def draw_spread_by_rank(ax: Axes, result: SpreadByRank) -> None:
    """Noise over teachers at each rank, beside the gap to the next rank: above it, the order is not settled."""
    ranks = np.arange(1, len(result.noise) + 1)
    ax.plot(ranks, result.noise, color=PALETTE[1], label="noise: std over teachers")
    ax.plot(ranks[:-1], result.gap[:-1], "--", color=PALETTE[0], label="gap to the next logit")
    ax.fill_between(
        ranks[:-1],
        result.gap[:-1],
        result.noise[:-1],
        where=(result.noise > result.gap)[:-1].tolist(),
        color=PALETTE[1],
        alpha=0.12,
        linewidth=0,
    )
    ax.set_ylim(bottom=0)
    ax.set_xlabel("rank of the logit in its row (1 = largest)")
    ax.set_ylabel("cosine")
    ax.legend()


def draw_heatmap(ax: Axes, matrix: np.ndarray, label: str, colours: str = "viridis", bar: Axes | None = None) -> None:
    """A batch's matrix [N, N] as colours; the diagonal, which never enters a loss, is left white.

    Args:
        ax: to draw into. matrix: [N, N]. label: above it. colours: a colour map.
        bar: axes for the scale of colours; None takes a part of ``ax`` for it.
    """
    shown = np.where(np.eye(len(matrix), dtype=bool), np.nan, matrix)
    image = ax.imshow(shown, cmap=colours)
    if bar is None:
        ax.figure.colorbar(image, ax=ax, shrink=0.85)
    else:
        low, high = image.get_clim()
        shades = np.linspace(low, high, 128)[:, None]
        # A colour bar of matplotlib's would take as long as the rest of the picture.
        bar.imshow(shades, cmap=colours, aspect="auto", origin="lower", extent=(0, 1, low, high))
        bar.set_xticks([])
        bar.yaxis.tick_right()
        bar.grid(visible=False)
    ax.grid(visible=False)
    ax.set_xlabel("sentence j")
    ax.set_ylabel("sentence i")
    ax.set_title(label)


def draw_averaging_law(ax: Axes, law: AveragingLaw, marked: int | None = None) -> None:
    """Variance of the mean of M teachers: the floor that all share, and the noise of seeds that shrinks as 1 / M."""
    fine = np.linspace(1, law.teachers[-1], 200)
    fitted = law.at(fine)
    ax.fill_between(fine, 0, law.floor, color=PALETTE[0], alpha=0.2, linewidth=0, label="floor: shared by all teachers")
    ax.fill_between(fine, law.floor, fitted, color=PALETTE[1], alpha=0.3, linewidth=0, label="noise of seeds, b / M")
    ax.plot(fine, fitted, color=PALETTE[1], linewidth=1.5)
    ax.plot(law.teachers, law.variance, "ko", markersize=5, label="measured, mean over subsets")
    if marked is not None:
        ax.axvline(marked, color=GREY, linestyle="--", linewidth=1.5)
        ax.annotate(
            f"M = {marked}: {law.noise_share(marked):.0%} noise",
            (marked, law.at(marked)),
            (6, 8),
            textcoords="offset points",
        )
    # Where the noise is small beside the floor, an axis from 0 would hide it.
    bottom = max(0.0, law.floor - max(law.noise, 1e-12))
    ax.set_ylim(bottom, law.floor + 1.5 * max(law.noise, 1e-12))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("M, teachers in the mean")
    ax.set_ylabel("variance of a row's logits" + ("\n(axis does not start at 0)" if bottom else ""))
    ax.legend(loc="lower right")


# Notebook 03: Group-P


def draw_groups(axes: Sequence[Axes], row: RowGroups) -> None:
    """One row under Group-P: its sorted logits coloured by group, and the targets before, after and on average.

    Args:
        axes: two Axes, logits above targets; targets are on a log scale, else only the first few would be seen.
        row: of ``targets.row_groups``.
    """
    logits, targets = axes
    ranks = np.arange(1, len(row.logits) + 1)
    colours = [PALETTE[group % len(PALETTE)] for group in row.groups]
    # Cosines of a row may all be high: bars start below the least, so that their differences are seen.
    least = float(row.logits.min())
    bottom = least - 0.1 * (float(row.logits.max()) - least) - 1e-6
    _draw_bars(logits, ranks, bottom, row.logits, colours)
    logits.plot(ranks, row.shuffled, "k.", markersize=5)
    logits.set_ylabel("teacher's cosine\n(dots: shuffled once)")
    targets.plot(ranks, row.before, "-", color=GREY, linewidth=1.5, label="before")
    targets.scatter(ranks, row.after, color=colours, s=18, label="after one shuffle", zorder=3)
    targets.step(ranks, row.mean, "k", where="mid", linewidth=1.5, label="group mean: average of all shuffles")
    if targets.get_yscale() != "log":
        targets.set_yscale("log")
        targets.minorticks_off()
    targets.set_ylim(max(float(row.before.min()) / 3, 1e-18), 3)
    targets.set_ylabel("target q (log scale)")
    targets.set_xlabel("rank of the logit before shuffling (1 = largest)")
    targets.legend(loc="upper right")
    for ax in axes:
        edges = np.flatnonzero(np.diff(row.groups)) + 1.5
        ax.vlines(edges, 0, 1, transform=ax.get_xaxis_transform(), color="#BBBBBB", linewidth=0.8, zorder=0)
        ax.set_xlim(0.3, len(ranks) + 0.7)
        ax.grid(axis="x", visible=False)


def _draw_bars(
    ax: Axes, x: np.ndarray, bottom: float, tops: np.ndarray, colours: Sequence[str], width: float = 0.85
) -> None:
    """Bars as one artist: explorers redraw dozens of them at every move."""
    left, right, low = x - width / 2, x + width / 2, np.full(len(x), bottom)
    corners = np.stack(
        [np.stack(pair, axis=-1) for pair in ((left, low), (left, tops), (right, tops), (right, low))], 1
    )
    ax.add_collection(PolyCollection(list(corners), facecolors=colours, alpha=0.45))


def cost_frame(costs: Mapping[str, ShuffleCost]) -> pd.DataFrame:
    """What each shuffle costs: cross-entropy and its two parts, in nats, and how much of the order is kept."""
    rows = {
        name: {
            "cross-entropy": cost.cross_entropy,
            "entropy of the targets": cost.entropy,
            "KL": cost.kl,
            "rank correlation": cost.rank_correlation,
        }
        for name, cost in costs.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").round(3)


def draw_group_sizes(ax: Axes, sizes: Mapping[str, np.ndarray]) -> None:
    """Mean number of logits in each group, side by side for several ways to cut."""
    width = 0.8 / max(len(sizes), 1)
    for index, (label, values) in enumerate(sizes.items()):
        x = np.arange(1, len(values) + 1) + (index - (len(sizes) - 1) / 2) * width
        bars = ax.bar(
            x, values, width, color=PALETTE[index % len(PALETTE)], label=label, hatch=("", "//", "..")[index % 3]
        )
        ax.bar_label(
            bars, [f"{value:.0f}" if value >= 1 else f"{value:.1f}" for value in values], fontsize=8, padding=2
        )
    ax.grid(axis="x", visible=False)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=20, integer=True))
    ax.set_xlabel("group (1 = largest logits)")
    ax.set_ylabel("logits in the group, mean over rows")
    ax.legend()


def draw_mean_of_shuffles(ax: Axes, result: MeanOfShuffles) -> None:
    """Distance of the mean of n shuffles from the group mean, falling as 1 / sqrt(n)."""
    ax.loglog(result.draws, result.distance, "o", color=PALETTE[0], label="measured")
    guide = result.distance[0] / np.sqrt(result.draws)
    ax.loglog(result.draws, guide, "--", color=GREY, linewidth=1.2, label="1 / sqrt(shuffles)")
    ax.set_xticks(result.draws, [str(count) for count in result.draws])
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("shuffles averaged")
    ax.set_ylabel("distance to the group mean's targets")
    ax.legend()


# Notebook 04: ensembles


def draw_teacher_rows(ax: Axes, rows: np.ndarray, chosen: int, top: int = 20) -> None:
    """One anchor's largest logits under each of M teachers [M, N - 1]: dots a teacher, and the mean of the first ones.

    Args:
        ax: to draw into.
        rows: logits of the row, teachers on the first axis.
        chosen: how many teachers, from the first, are averaged.
        top: how many logits, ranked by the mean of all teachers, are shown.
    """
    order = np.argsort(-rows.mean(axis=0))[:top]
    ranks = np.arange(1, len(order) + 1)
    for number, row in enumerate(rows):
        used = number < chosen
        label = {0: "teachers in the mean", chosen: "other teachers"}.get(number)
        ax.plot(
            ranks, row[order], "." if used else "x", color=PALETTE[0] if used else "#BBBBBB", markersize=5, label=label
        )
    ax.plot(ranks, rows[:chosen, order].mean(axis=0), "-", color=PALETTE[1], label=f"mean of {chosen}")
    ax.plot(ranks, rows[:, order].mean(axis=0), "k:", linewidth=1.5, label=f"mean of all {len(rows)}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("rank in the mean of all teachers (1 = largest)")
    ax.set_ylabel("cosine with the anchor")
    ax.legend(fontsize=8)


def draw_scores_by_number(ax: Axes, curves: Mapping[str, Mapping[int, Sequence[float]]], xlabel: str) -> None:
    """Scores against a positive number such as M, on a log scale: {label: {number: scores over seeds}}.

    Means with 95% t intervals; a number with one score has no interval.
    """
    for index, (label, points) in enumerate(curves.items()):
        intervals = [seed_interval(scores) for scores in points.values()]
        half = [0.0 if np.isnan(interval.half_width) else interval.half_width for interval in intervals]
        # A little apart, so that intervals at the same number do not hide each other.
        x = [number * 1.03**index for number in points]
        ax.errorbar(
            x,
            [interval.mean for interval in intervals],
            half,
            fmt="o" + LINES[index % len(LINES)],
            color=PALETTE[index % len(PALETTE)],
            capsize=3,
            label=label,
        )
    numbers = sorted({number for points in curves.values() for number in points})
    ax.set_xscale("log")
    ax.set_xticks(numbers, [f"{number:g}" for number in numbers])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel(xlabel)
    ax.set_ylabel("Spearman × 100 (bar: 95% interval)")
    ax.legend()
