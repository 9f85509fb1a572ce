"""Turn a knob, see the idea: explorers, each a class with typed traits, for any notebook.

    GroupPExplorer(cosines, sentences).show("group_p")

An explorer's traits are its state, each linked to a control. Its picture is a PNG in an Image widget: not an Output
widget, because that one swallows exceptions, so that a broken explorer would pass for a working one.
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
