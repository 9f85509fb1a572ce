# %% [markdown]
# # 05 DistillCSE, whole
#
# **Goal.** Train students in five ways, from plain distillation to DistillCSE, and find out what each part adds.
#
# **You will learn**
#
# - the joint loss, on a real batch,
# - why the teachers' embeddings are computed once, and what that saves,
# - how to compare methods seed by seed, and what such a comparison cannot say,
# - how to take a student into sentence-transformers.
#
# **Time:** less than a minute on smoke; about 8 minutes on laptop, the first time (five students of each of five methods).

# %% tags=["parameters"]
profile: str = "smoke"  # smoke (minutes), laptop (40 minutes for the whole course) or paper (a GPU)
seed: int = 0  # of what the notebook draws at random
data_dir: str = ""  # folder with STS sets; empty: the built-in pairs
corpus: str = ""  # training sentences, a file or a hub name; empty: found in data_dir, or built in
base: str = ""  # encoder to start from; empty: the profile's
store: str = ""  # folder of everything computed; empty: DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; empty: only shown
recompute: bool = False  # train the ablations here (minutes); else those that ship are shown

# %%
import numpy as np
import pandas as pd
import torch

from distillcse_kit.evaluation import paired_difference, seed_interval, verdict
from distillcse_kit.experiments.tables import table_8, table_9
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.curve_plots import draw_history
from distillcse_kit.plots.score_plots import draw_score_table, score_frame
from distillcse_kit.plots.style import new_axes, show
from distillcse_kit.plots.sweep_plots import show_sweep
from distillcse_kit.training.named_recipes import METHODS

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings, training, distillation = lab.describe(), lab.profile.training, lab.profile.distillation
pd.Series(settings, name="this laboratory").to_frame()

# %% [markdown]
# ## The joint loss
#
# Why learn from a teacher that is no larger than oneself? The contrastive loss calls all other sentences of a batch
# equally wrong. A teacher has an opinion on *how* wrong each is, and that graded opinion is the student's lesson. The
# student still contrasts, too (Eq 3 of the paper):
#
# $$\ell = \ell_{cl} + \lambda\, \ell_{distill}, \qquad
#   \ell_{distill} = -\frac1N \sum_i \sum_{j \ne i} q_{ij} \log p_{ij}$$
#
# with $q = \mathrm{softmax}(t/\tau_t)$ from the teachers and $p = \mathrm{softmax}(s/\tau_s)$ from the student, both
# without $j = i$: a sentence is not its own neighbour.
#
# ### The way of the data
#
# ```text
# corpus --> M teachers --> unit embeddings of the whole corpus, float16, on disk      once per teacher
#                                    |
# a batch of N rows -----------------+--> M matrices of cosines --> mean --> shuffled --> q     every step
# the same N sentences --> student, in training mode --> cosines s --> p --> loss              every step
# ```

# %%
teachers = lab.teachers()
ensemble = lab.ensemble(teachers)
stored = lab.embeddings(teachers[0])
print(
    f"One teacher's embeddings: {stored.shape[0]:,} sentences x {stored.shape[1]}, {stored.dtype}, {stored.nbytes / 1e6:.1f} MB"
)
print(
    f"All {len(teachers)} teachers: {len(teachers) * stored.nbytes / 1e6:.1f} MB on disk, read {training.batch_size} rows at a time"
)

# %% [markdown]
# Teachers do not change while the student learns, and they are in evaluation mode: what they say of a sentence is
# always the same. So it is computed once. **Predict first:** for all students of this notebook, how many sentences
# would the teachers have to encode if they were run in every step?

# %%
once = len(teachers) * len(lab.corpus)
by_method = {name: len(lab.recipe(name).taught_by(training)) for name in METHODS}
every_step = sum(by_method.values()) * lab.profile.seeds * training.steps * training.batch_size
print(f"Once:       {len(teachers)} teachers x {len(lab.corpus):,} sentences = {once:,} encodings")
print(
    f"Every step: {every_step:,} encodings for {len(METHODS)} methods x {lab.profile.seeds} seeds, {every_step / once:.1f} times as many"
)

# %% [markdown]
# The gain grows with every further setting, for what is stored serves all of them. Is it fine enough for a softmax at a
# temperature of 0.01? It is rounded to float16, and where the processor computes in bfloat16, the teacher was run in
# that. Compare the stored cosines of a batch with freshly computed ones in float32:

# %%
from distillcse_kit.method.losses import cosine_matrix, distillation_loss, off_diagonal
from distillcse_kit.method.shuffling import group_p_shuffle

n = min(training.batch_size, len(lab.corpus))
rows = np.sort(np.random.default_rng(seed).choice(len(lab.corpus), n, replace=False))
sentences = [lab.corpus.sentences[row] for row in rows]
fresh = torch.from_numpy(teachers[0].encoder().encode(sentences, show_progress_bar=False))
one_teacher = lab.ensemble(teachers[:1]).cosines(rows)
error = off_diagonal(one_teacher - cosine_matrix(fresh, fresh)).abs().max().item()
print(
    f"Largest difference of a cosine: {error:.5f}, that is {error / distillation.teacher_temperature:.2f} in units of the teacher temperature"
)

# %% [markdown]
# ### One batch, four targets
#
# Here is the distillation loss of the *untrained* base as a student, against each kind of target. `target entropy` is
# what no student can get below; the rest, the KL divergence, is what can be learned.

# %%
vectors = torch.from_numpy(lab.base.encode(sentences, show_progress_bar=False))
student, averaged = cosine_matrix(vectors, vectors), ensemble.cosines(rows)
generator = torch.Generator().manual_seed(seed)
targets = {
    "one teacher": one_teacher,
    "one teacher, Group-P": group_p_shuffle(one_teacher, distillation.p, generator=generator),
    f"mean of {len(teachers)} teachers": averaged,
    "both": group_p_shuffle(averaged, distillation.p, generator=generator),
}
temperatures = (distillation.student_temperature, distillation.teacher_temperature)
losses = {
    name: [distillation_loss(student, t, *temperatures, kind).item() for kind in ("cross_entropy", "kl")]
    for name, t in targets.items()
}
frame = pd.DataFrame(losses, index=["loss (cross-entropy)", "KL divergence"]).T
frame.insert(1, "target entropy", frame.iloc[:, 0] - frame.iloc[:, 1])
frame.round(3)

# %% [markdown]
# The losses of different methods are therefore not comparable with each other: their targets differ. Only the pairs of
# a held-out set can compare them.
#
# ## Five kinds of student
#
# | method | teachers' logits | shuffled |
# |---|---|---|
# | vanilla distillation | one teacher: the student of seed $s$ learns from teacher $s$ | no |
# | + Group-P | one teacher | permuted inside groups, in every step anew |
# | + group mean | one teacher | each group's logits replaced by their mean: what Group-P does *on average*, without its noise (not in the paper) |
# | + teacher components | mean of all $M$ teachers | no |
# | DistillCSE | mean of all $M$ teachers | permuted inside groups |
#
# All start from the same base, see the same number of sentences, and share order and dropout where they share the seed.
#
# **Predict first:** which of the two remedies, shuffling or averaging, will do more here? Will they add up?

# %%
from distillcse_kit.explorers import TrainingMonitor

first = lab.recipe("distillcse", seed=0)
monitor = TrainingMonitor("DistillCSE, seed 0", training.batch_size)
monitor.watch(lambda on_step: lab.run(first, on_step=on_step), "05_monitor", figures, settings)
# %%
students = {title: lab.students(name) for name, title in METHODS.items()}
histories = {"SimCSE teachers": [run.history for run in teachers]} | {
    name: [run.history for run in runs] for name, runs in students.items()
}

# %%
figure, (left, right) = new_axes(1, 2, width=11, height=4.4)
draw_history(left, histories, "dev")
draw_history(right, histories, "distillation")
left.set_title("dev score")
right.set_title("distillation loss, each against its own targets")
left.legend(fontsize=8)
right.legend(fontsize=8)
show(figure, "05_training", figures, settings)

# %% [markdown]
# Where the right panel's curves lie apart, that is first of all the entropy of their targets (see the table above).
# What is worth reading there is the shape: a loss that goes on falling while the dev score at the left does not rise is
# a student that learns its teacher's noise.
#
# ## Scores

# %%
table = {"base, no training": lab.scores([lab.base]), f"SimCSE teachers ({len(teachers)})": lab.scores(teachers)}
table |= {name: lab.scores(runs) for name, runs in students.items()}
score_frame(table)

# %%
figure, axes = new_axes(1, 2, width=13, height=4)
trained = {name: scores for name, scores in table.items() if name != "base, no training"}
for ax, task in zip(axes, ("dev", lab.headline), strict=True):
    draw_score_table(ax, {name: scores[task] for name, scores in trained.items()}, baseline="vanilla distillation")
    ax.set_title(f"{task}: {lab.profile.seeds} seeds a method (base: {table['base, no training'][task][0]:.1f})")
show(figure, "05_scores", figures, settings)

# %% [markdown]
# ## Differences, seed by seed
#
# Seeds make good and bad runs. Two methods that share a seed share its order of sentences and its dropout, and part of
# its luck; so the *difference* seed by seed is steadier than the two means suggest. First against plain distillation:

# %%
vanilla = table["vanilla distillation"]
for name in list(students)[1:]:
    for task in ("dev", *lab.tests):
        print(f"{task:<9}", verdict(paired_difference(table[name][task], vanilla[task]), name, "vanilla"))

# %% [markdown]
# Then against the teacher of the same seed: for the one-teacher methods that is the very teacher the student learned
# from; for the others it is one of the $M$. Does the student surpass it?

# %%
own = lab.scores(teachers[: lab.profile.seeds])
for name in students:
    for task in ("dev", *lab.tests):
        print(f"{task:<9}", verdict(paired_difference(table[name][task], own[task]), name, "its teacher"))

# %% [markdown]
# **What these intervals do not say.**
#
# - They are 95% intervals, and there are many of them: one in twenty excludes 0 by chance alone. Take a single narrow
#   verdict among several undecided ones for what it is.
# - They speak of other seeds, not of other corpora, encoders or test sets.
# - All students of an ensemble share the *same* $M$ teachers: their interval knows nothing of other ensembles.
# - `dev` chose the checkpoints, so its scores are a little too high, for all methods alike.
#
# ## Whom does a student agree with? (Table 8)
#
# A student that copies its teacher's noise agrees with its own teacher much better than with the other teachers, and
# other students have copied other noise. The paper's values on STS-B dev: without shuffling 83.69 with gold, 98.81 with
# its own teacher, 95.49 with other teachers, 96.04 with other students; with shuffling 83.80, 98.56, 95.92, 96.68.
#
# **Predict first:** which of the four numbers should shuffling lower, and which should it raise?

# %%
agree = table_8(lab)
pd.DataFrame(
    {row: {name: str(seed_interval(values)) for name, values in found.items()} for row, found in agree.items()}
).T

# %%
for column in ("own teacher", "other students"):
    difference = paired_difference(agree["shuffled"][column], agree["not shuffled"][column])
    print(verdict(difference, f"agreement with {column}, shuffled,", "not shuffled"))

# %% [markdown]
# On real data, as it ships:

# %%
show_sweep(lab, "table8", figures, recompute)
# %% [markdown]
# The others of a student are not independent of each other, so read these intervals as a little too narrow.
#
# ## What is left of the loss, on training sentences and on others (Table 9)
#
# The paper's losses, train and test: vanilla 1.3058 and 6.5503, Group-P 2.8715 and 6.4410, with averaging 3.1377 and
# 6.2712. It says neither what its test batches were nor whether shuffled losses were taken against shuffled targets. Here:
# sentences that the student has read, sentences of the same corpus that it has not, and sentences of the dev pairs, which
# are of another kind; cross-entropy against the teacher's own targets and against shuffled ones; and the KL, which takes
# out the targets' entropy and can be compared between teachers. Of this laboratory, mean over seeds:

# %%
left = table_9(lab)
pd.DataFrame({row: {column: np.mean(values) for column, values in found.items()} for row, found in left.items()}).round(
    3
)

# %% [markdown]
# **Predict first:** if a student memorises its teacher's noise, which two rows of this table must lie far apart? On
# real data, as it ships:

# %%
show_sweep(lab, "table9", figures, recompute)
# %% [markdown]
# ## Over training (Figure 2)
#
# The same losses while the students train. Read and unread batches are of one kind, so a gap between them is what was
# memorised; the shuffled targets are drawn anew each time, so nothing of *their* order can be.

# %%
show_sweep(lab, "figure2", figures, recompute)
# %% [markdown]
# ## Does it hang on lambda and the temperatures? (Tables 6 and 7)
#
# The paper's lambda hardly matters (83.43 to 83.48 on STS-B dev). Its nine pairs of temperatures give averages from 76.37
# to 77.13; its table does not say for certain which axis is the student's, so they are not drawn beside ours.

# %%
show_sweep(lab, "table6-lambda", figures, recompute)
# %%
show_sweep(lab, "table7", figures, recompute)

# %% [markdown]
# ## Turn one knob
#
# The sweeps again, as one table that is turned: students on real data, five seeds each, by six knobs. Rows are compared
# with the chosen one by seed, on dev: whoever turns knobs on a test set until one of them wins has no test set any more.
# Temperatures and lambda were swept without shuffling, so move p to "not shuffled" for them.
#
# **Predict first:** along which knob will five seeds tell a difference from chance?

# %%
from distillcse_kit.experiments.ablation import Ablation, shipped_results
from distillcse_kit.explorers import AblationExplorer

AblationExplorer(shipped_results(), scored_on="STS-B dev").show("05_sweeps", figures, settings)

# %% [markdown]
# And the students in your own store, whoever trained them. A setting that is not there can be trained from here; that
# goes on in the background, while you turn other knobs.

# %%
ablation = Ablation(lab)
explorer = AblationExplorer(ablation.stored(), ablation.usual, ablation.train, ablation.seeds, ablation.choices)
explorer.show("05_ablation", figures, settings)

# %% [markdown]
# ## Take a student with you
#
# A run's folder is a model folder: safetensors, tokenizer, and the pooling written down, so that sentence-transformers
# does not fall back on the mean of tokens, which would be wrong for a [CLS] model.

# %%
run = students["DistillCSE"][0]
print(run.folder)
pd.DataFrame([{"file": path.name, "kB": round(path.stat().st_size / 1e3, 1)} for path in sorted(run.folder.iterdir())])

# %%
from importlib.util import find_spec

if find_spec("sentence_transformers") is None:
    print("sentence-transformers is not installed: pip install 'distillcse-kit[integrations]' brings it.")
else:
    from sentence_transformers import SentenceTransformer
    from transformers import logging

    logging.set_verbosity_error()  # BERT's own pooler, which nothing here uses, would be reported as missing
    theirs = SentenceTransformer(str(run.folder), device="cpu").encode(sentences, show_progress_bar=False)
    ours = run.encoder().to("cpu").encode(sentences, show_progress_bar=False)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    print(
        f"sentence-transformers gives the same {len(ours)} embeddings: largest difference {np.abs(theirs - ours).max():.1e}"
    )

# %% [markdown]
# ## Summary
#
# - The student contrasts and imitates at once; its targets exclude the sentence itself.
# - Teachers are fixed, so their embeddings are stored: any number of settings then costs no further teacher pass.
# - Distillation losses of different targets cannot be compared; scores can, seed by seed.
# - Which part helped *here*, on this data and this profile, is what the verdicts above say, and no more than that.
# - A student is a folder that other libraries load.
#
# **Go on** with `06_self_training_rounds`: the student becomes a teacher.
