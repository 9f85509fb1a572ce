"""Pictures: functions that draw one result into given axes."""

from distillcse_kit.plots.curve_plots import AXIS_LABELS, History, draw_history, draw_information_bound
from distillcse_kit.plots.noise_plots import (
    comparison_frame,
    component_frame,
    draw_agreement,
    draw_averaging_law,
    draw_beside_paper,
    draw_components,
    draw_heatmap,
    draw_noise_to_signal,
    draw_sorted_magnitudes,
    draw_spread_by_rank,
    draw_teacher_rows,
    spread_frame,
)
from distillcse_kit.plots.score_plots import draw_pair_scatter, draw_score_table, draw_scores_by_number, score_frame
from distillcse_kit.plots.shuffle_plots import cost_frame, draw_group_sizes, draw_groups, draw_mean_of_shuffles
from distillcse_kit.plots.style import DPI, GREY, LINES, PALETTE, STYLE, new_axes, plain, png_bytes, show

__all__ = [
    "AXIS_LABELS",
    "DPI",
    "GREY",
    "LINES",
    "PALETTE",
    "STYLE",
    "History",
    "comparison_frame",
    "component_frame",
    "cost_frame",
    "draw_agreement",
    "draw_averaging_law",
    "draw_beside_paper",
    "draw_components",
    "draw_group_sizes",
    "draw_groups",
    "draw_heatmap",
    "draw_history",
    "draw_information_bound",
    "draw_mean_of_shuffles",
    "draw_noise_to_signal",
    "draw_pair_scatter",
    "draw_score_table",
    "draw_scores_by_number",
    "draw_sorted_magnitudes",
    "draw_spread_by_rank",
    "draw_teacher_rows",
    "new_axes",
    "plain",
    "png_bytes",
    "score_frame",
    "show",
    "spread_frame",
]
