"""A notebook with one cell for each explorer, on the data from ``sample``."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat

FOLDER, NAME = "explorers", "explorers/explorers.ipynb"

CELLS = [
    """
from pathlib import Path
import numpy as np
import sample
from distillcse_kit import explorers
from distillcse_kit.experiments.ablation import Ablation
cosines, sentences, here = sample.cosines(), sample.batches(), Path.cwd()
""",
    """
explorers.GroupPExplorer(cosines[0, 0], sentences[0]).show("group_p")
""",
    """
explorers.TeacherVarianceExplorer(cosines, sentences).show("teacher_variance")
""",
    """
explorers.EnsembleExplorer(
    cosines[:, 0], sentences[0], sample.graded_pairs(), sample.STUDENTS
).show("ensemble")
""",
    """
lab = sample.laboratory(here)
monitor = explorers.TrainingMonitor("teacher of seed 0", lab.profile.training.batch_size)
run = monitor.watch(lambda on_step: lab.teacher(0, on_step), "training_monitor")
""",
    """
ablation = Ablation(lab)
lab.student([lab.teachers()[0]], 0, shuffle="group_p"), lab.student([lab.teachers()[1]], 1, shuffle="group_p")
trainer = sample.held_trainer(ablation, here / "gate")
explorers.AblationExplorer(
    ablation.stored(), ablation.usual, trainer, ablation.seeds, ablation.choices
).show("ablation")
""",
    """
encoders = {"base": lab.base, "teacher": run.encoder()}
explorers.EmbeddingExplorer(encoders, sample.SENTENCES, sample.TOPICS).show("embedding")
""",
]


def write_small_notebook(notebooks: Path) -> Path:
    """Write the notebook into its own folder, with its data beside it, and return that folder."""
    folder = notebooks / FOLDER
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("sample.py"), folder)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}
    cells = [nbformat.v4.new_code_cell(text.strip()) for text in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), notebooks / NAME)
    return folder
