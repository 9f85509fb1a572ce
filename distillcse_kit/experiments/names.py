"""The names of the sweeps. They stand apart because the sweeps themselves need torch, and listing them should not."""

from __future__ import annotations

SWEEP_NAMES = (
    "table3",
    "table5",
    "table6-p",
    "table6-lambda",
    "table7",
    "figure2",
    "table8",
    "table9",
    "smoothing",
    "cut",
    "ensembles",
    "strong-teacher",
)
