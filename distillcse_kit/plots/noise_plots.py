"""How much teachers disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from distillcse_kit.analysis.orders import TwoSamples
from distillcse_kit.analysis.parts_of_variance import Component
from distillcse_kit.analysis.teacher_noise import AveragingLaw, Spread, SpreadByRank, TopAgreement
from distillcse_kit.plots.style import GREY, PALETTE, styled

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


@styled()
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


@styled()
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


@styled()
def draw_noise_to_signal(ax: Axes, spreads: Sequence[Spread]) -> None:
    """A bar a quantity: its spread over teachers in units of its spread over sentences or pairs."""
    values = [item.noise_to_signal for item in spreads]
    bars = ax.barh(range(len(values)), values, color=[PALETTE["2nd" in s.name or "t_ij" in s.name] for s in spreads])
    ax.bar_label(bars, [f"{value:.2f}" for value in values], padding=4)
    ax.set_yticks(range(len(values)), [item.name for item in spreads])
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("spread over teachers / spread over items")


@styled()
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


@styled()
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


@styled()
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


@styled()
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


@styled()
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


# Notebook 04: ensembles


@styled()
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
