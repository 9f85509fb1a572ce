"""How much teachers disagree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.ticker import MaxNLocator

from distillcse_kit.analysis.orders import TwoSamples
from distillcse_kit.analysis.parts_of_variance import VariancePart
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


def variance_parts_frame(components: Sequence[VariancePart]) -> pd.DataFrame:
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
def draw_variance_parts(ax: Axes, components: Sequence[VariancePart], teachers: int) -> None:
    """Standard deviation of each part of one teacher's logits, and what is left of it in a mean of all teachers."""
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
        sns.ecdfplot(
            y=values,
            stat="percent",
            complementary=True,
            color=PALETTE[number],
            linestyle=line,
            label=f"{label} ({len(values):,})",
            ax=ax,
        )
    ax.set_xlabel("rank, in % of the values (largest at the left)")
    ax.set_ylabel("value")
    ax.set_title(f"{comparison.name}\nmeans lie {comparison.gap:.1f} training std apart")
    ax.legend()


@styled()
def draw_noise_to_signal(ax: Axes, spreads: Sequence[Spread]) -> None:
    """One bar for each quantity: its spread over teachers, divided by its spread over sentences or pairs."""
    names = [item.name for item in spreads]
    colours = [PALETTE["2nd" in name or "t_ij" in name] for name in names]
    sns.barplot(x=[item.noise_to_signal for item in spreads], y=names, hue=names, palette=colours, saturation=1, ax=ax)
    for bars in ax.containers:
        assert isinstance(bars, BarContainer)
        ax.bar_label(bars, fmt="{:.2f}", padding=4)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("spread over teachers / spread over items")


@styled()
def draw_beside_paper(ax: Axes, ours: Mapping[str, float], paper: Mapping[str, float]) -> None:
    """Two bars in each row, ours and the paper's: coefficients of variation in per cent, which have no unit."""
    values = [(row, where, 100 * of[row]) for where, of in (("here", ours), ("the paper", paper)) for row in ours]
    frame = pd.DataFrame(values, columns=["row", "where", "value"])
    sns.barplot(frame, x="value", y="row", hue="where", palette=PALETTE[:2], saturation=1, gap=0.1, ax=ax)
    for bars in ax.containers:
        assert isinstance(bars, BarContainer)
        ax.bar_label(bars, fmt="{:.0f}%", padding=4)
    ax.set_ylabel("")
    ax.grid(axis="y", visible=False)
    ax.margins(x=0.12)
    ax.set_xlabel("standard deviation / |mean|, %")
    ax.legend()


@styled()
def draw_agreement(ax: Axes, agreements: Sequence[TopAgreement], published: tuple[int, float] | None = None) -> None:
    """Spearman between teachers against how many of the largest logits are compared. A square is the paper's value."""
    sns.lineplot(
        x=[item.k for item in agreements for _ in item.by_batch],
        y=np.concatenate([item.by_batch for item in agreements]),
        errorbar=("pi", 100),  # percentiles 0 to 100: the lowest and the highest batch
        err_kws={"alpha": 0.15, "linewidth": 0},
        color=PALETTE[0],
        marker="o",
        markeredgewidth=0,
        ax=ax,
    )
    for item in agreements:
        covered = published is not None and published[0] == item.k and published[1] > item.mean
        offset = (4, -16 if covered else 7)  # not where the paper's square is
        ax.annotate(f"{item.mean:.0f}", (item.k, item.mean), offset, textcoords="offset points", fontsize=9)
    if published is not None:
        ax.plot(*published, "s", color=PALETTE[1], markersize=8, label=f"the paper, top {published[0]}: {published[1]}")
        ax.legend(loc="lower right")
    ax.set_ylim(0, 108)
    ax.set_xlabel("k: the largest logits of a row that are compared")
    ax.set_ylabel("Spearman × 100 between two teachers")


@styled()
def draw_spread_by_rank(ax: Axes, result: SpreadByRank) -> None:
    """Noise over teachers at each rank, and the gap to the next rank. The order is settled where the gap is larger."""
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
    """A batch's matrix [N, N] as colours. The diagonal is left white, since no loss uses it.

    Args:
        ax: to draw into. matrix: [N, N]. label: above it. colours: a colour map.
        bar: axes for the scale of colours; None takes a part of ``ax`` for it.
    """
    hidden = np.eye(len(matrix), dtype=bool)
    if bar is None:
        every = {"xticklabels": 5, "yticklabels": 5}
        sns.heatmap(matrix, mask=hidden, cmap=colours, square=True, cbar_kws={"shrink": 0.85}, **every, ax=ax)
        ax.tick_params(axis="y", labelrotation=0)
    else:
        # For explorers: seaborn takes two to three times as long, most of it for the scale.
        image = ax.imshow(np.where(hidden, np.nan, matrix), cmap=colours)
        low, high = image.get_clim()
        shades = np.linspace(low, high, 128)[:, None]
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
    """Variance of the mean of M teachers: a floor that all share, and the noise of seeds, which shrinks as 1 / M."""
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
    # An axis that starts at 0 would hide noise that is much smaller than the floor.
    bottom = max(0.0, law.floor - max(law.noise, 1e-12))
    ax.set_ylim(bottom, law.floor + 1.5 * max(law.noise, 1e-12))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("M, teachers in the mean")
    ax.set_ylabel("variance of a row's logits" + ("\n(axis does not start at 0)" if bottom else ""))
    ax.legend(loc="lower right")
