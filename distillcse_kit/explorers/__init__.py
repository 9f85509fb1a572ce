"""Explorers: move a control in a notebook, and see what changes.

Each explorer shows controls, a picture and a few sentences about it, all computed from your own data by the kit's
functions. Its state is its traits, so that you can also set it from Python. Where no widget can be shown
(``DISTILLCSE_HEADLESS`` is set), the same call draws a still picture of the current state.

    from distillcse_kit.explorers import GroupPExplorer
    GroupPExplorer(cosines, sentences).show("group_p")
"""

from distillcse_kit.explorers.ablation_explorer import AblationExplorer
from distillcse_kit.explorers.base import HEADLESS, Explorer, Picture
from distillcse_kit.explorers.embedding_explorer import EmbeddingExplorer
from distillcse_kit.explorers.ensemble_explorer import EnsembleExplorer
from distillcse_kit.explorers.group_p_explorer import GroupPExplorer
from distillcse_kit.explorers.teacher_variance_explorer import TeacherVarianceExplorer
from distillcse_kit.explorers.training_monitor import TrainingMonitor

__all__ = [
    "HEADLESS",
    "AblationExplorer",
    "EmbeddingExplorer",
    "EnsembleExplorer",
    "Explorer",
    "GroupPExplorer",
    "Picture",
    "TeacherVarianceExplorer",
    "TrainingMonitor",
]
