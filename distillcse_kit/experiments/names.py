"""The names of the sweeps, for those who only want to list them: the sweeps themselves need torch."""

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
)
