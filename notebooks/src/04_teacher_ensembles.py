# %% [markdown]
# # 04 Teacher ensembles
#
# **Goal.** See what averaging the logits of several teachers does, what it costs, and what a student gains from it.
#
# **You will learn**
#
# - why a mean of cosines is itself a cosine, so that an ensemble of teachers is simply one more encoder,
# - how the raw ensemble scores as you add teachers,
# - how students of 1, 2, 4, ... teachers score, and whether "teacher components" beat one teacher,
# - whether it pays to distil an ensemble instead of using the ensemble itself.
#
# **Time:** half a minute on smoke; about 5 minutes on laptop if no student has been trained yet.
#
# The parameters mean the same in every notebook:

# %% tags=["parameters"]
profile: str = "smoke"  # amount of work: smoke (minutes), laptop (whole course: 40 minutes) or paper (needs a GPU)
seed: int = 0  # seed of this notebook's own random draws
data_dir: str = ""  # folder of STS sets; if empty, the built-in pairs
corpus: str = ""  # training sentences: a file or a hub name; if empty, from data_dir, or else built in
base: str = ""  # encoder to start from; if empty, the profile's own
store: str = ""  # folder for everything computed; if empty, DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; if empty, they are only shown
recompute: bool = False  # True: train the students of the sweeps here (minutes); False: show the shipped results

# %%
import numpy as np
import pandas as pd

from distillcse_kit import analysis, explorers, plots
from distillcse_kit.encoder.ensemble_encoder import EnsembleEncoder
from distillcse_kit.evaluation import pair_cosines, paired_difference, spearman, verdict
from distillcse_kit.evaluation.scoring import pairs_fingerprint
from distillcse_kit.experiments.sweep_result import sweep_result
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.sweep_plots import show_sweep
from distillcse_kit.training.named_recipes import METHODS

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings = lab.describe()
teachers = lab.teachers()

# %% [markdown]
# ## Averaging logits
#
# DistillCSE's second idea is to average the logits of $M$ teachers that differ only in the seed. (A logit here is a
# cosine, before it is divided by the temperature.) The paper calls this "teacher components" (Eq 7):
#
# $$t_{ij} = \frac1M \sum_{m=1}^{M} \cos\!\big(h^{(m)}_i, h^{(m)}_j\big).$$
#
# Note that it averages **cosines**. It does not average probabilities after the softmax. Nor does it average
# embeddings: each teacher has a space of its own, so their vectors cannot be added. Notebook 02 measured what averaging
# removes: the noise of the seeds, which falls as $1/M$ down to a floor.
#
# The explorer below shows the mean of any teachers you tick: its targets for one sentence, and its score on the dev
# pairs.
#
# **Predict first:** how many teachers does the mean need before one more no longer changes its targets? And how does
# the mean itself score on the dev pairs, without any student?

# %%
batch_size = lab.profile.training.batch_size
rows = analysis.sample_batches(len(lab.corpus), batch_size, 10, seed)
stored = lab.all_embeddings(teachers)
cosines = analysis.batch_cosines(analysis.teacher_vectors(stored, rows))
sentences = [lab.corpus.sentences[row] for row in rows[0]]
dev_cosines = np.stack([lab.pair_cosines(teacher, "dev") for teacher in teachers]), lab.dev.score
explorers.EnsembleExplorer(cosines[:, 0], sentences, dev_cosines).show("04_ensemble_row", figures, settings)

# %% [markdown]
# The noise falls as $1/M$, so on average each further teacher moves the targets less than the one before it.
#
# ## A mean of cosines is a cosine
#
# Put the teachers' unit embeddings end to end, and divide by $\sqrt M$:
#
# $$H_i = \frac{1}{\sqrt M}\big[h^{(1)}_i; \dots; h^{(M)}_i\big], \qquad
#   H_i^\top H_j = \frac1M\sum_m h^{(m)\top}_i h^{(m)}_j = t_{ij}, \qquad \lVert H_i\rVert = 1 .$$
#
# So the mean of $M$ cosines is *one* cosine, of longer vectors. Two things follow. First, the logits of a batch under
# 16 teachers are a single matrix product. Second, the raw ensemble is an encoder like any other: you can score it,
# search with it, or distil it. The next cell computes both sides on a real batch and compares them.

# %%
mean_of_cosines = cosines[:, 0].mean(axis=0)
concatenation = lab.ensemble(teachers).vectors(rows[0]).astype(np.float64)
of_concatenation = concatenation @ concatenation.T
difference = np.abs(mean_of_cosines - of_concatenation).max()
print(f"{len(teachers)} teachers, {batch_size} sentences: the two differ by at most {difference:.1e}.")
assert difference < 1e-6

# %% [markdown]
# The kit turns several encoders into one with `EnsembleEncoder`. Here is the same check through it, on test pairs:

# %%
pairs = lab.tests[lab.headline]


def cosines_of(run):
    """A teacher's cosines of the test pairs, computed once and kept in the store."""
    content = {"run": run.key, "pairs": pairs_fingerprint(pairs)}
    return lab.store.json("pair-cosines", content, lambda: pair_cosines(run.encoder(), pairs).tolist())


by_teacher = np.array([cosines_of(teacher) for teacher in teachers])
as_encoder = pair_cosines(EnsembleEncoder([teacher.encoder() for teacher in teachers[:2]]), pairs)
difference = np.abs(as_encoder - by_teacher[:2].mean(axis=0)).max()
print(f"The mean of two teachers' cosines and the ensemble encoder differ by at most {difference:.1e}.")
assert difference < 1e-6

# %% [markdown]
# ## The raw ensemble
#
# How well does the ensemble itself score? For each M we divide the teachers into separate groups of M. No teacher is in
# two groups, so the scores for one M are independent and their interval is honest. With 16 teachers there are eight
# ensembles of 2, but only one of 16. The figure shows the mean score for each M with its interval, and the table says
# how many ensembles stand behind it.

# %%
M = len(teachers)
sizes = [m for m in (1, 2, 4, 8) if m < M] + [M]
raw = {
    m: [spearman(by_teacher[start : start + m].mean(axis=0), pairs.score) for start in range(0, M - m + 1, m)]
    for m in sizes
}
figure, ax = plots.new_axes(width=7, height=3.6)
plots.draw_scores_by_number(ax, {"raw ensemble": raw}, "M, number of teachers")
ax.set_title(f"Raw ensembles on {lab.headline}")
plots.show(figure, "04_raw_ensembles", figures, settings)
pd.DataFrame({f"M = {m}": {"ensembles": len(raw[m]), "mean score": np.mean(raw[m])} for m in sizes}).T.round(2)

# %% [markdown]
# Intervals tend to widen with M, because fewer ensembles stand behind each point. The last point is a single ensemble,
# so it has no interval at all.
#
# ## Students of 1, 2, 4, ... teachers
#
# Now we distil. All students have the same size and the same training. Only the targets differ: they come from the
# first teacher or from the mean of the first M, with Group-P or without. Because the embeddings are stored, a student
# of 16 teachers trains as fast as a student of one. (Like all *sweeps*, these students ship with the kit; see notebook
# 03.)
#
# **Predict first:** before you look, draw two curves of scores against M, one with Group-P and one without. How many
# teachers buy as much as one shuffle?

# %%
show_sweep(lab, "ensembles", figures, recompute)

# %% [markdown]
# All students of one M share the *same* teachers, so these intervals cover other seeds of the student, not other
# teachers.
#
# How many teachers, then, buy as much as one shuffle? The next cell compares the students of M teachers without
# shuffling with the students of one teacher with Group-P, on dev:

# %%
grown = {label: found["dev"] for label, found in sweep_result(lab, "ensembles", recompute).table.items()}
for label, found in grown.items():
    if "Group-P" not in label:
        print(verdict(paired_difference(found, grown["1 teacher, Group-P"]), label, "one teacher with Group-P"))

# %% [markdown]
# ## Teacher components against one teacher
#
# Back to this laboratory. The table compares single teachers, students of one teacher, and students of the mean of all:

# %%
vanilla, components = lab.students("vanilla"), lab.students("components")
names = {method: METHODS[method] for method in ("vanilla", "components")}
scores = {
    "single teachers": lab.scores(teachers),
    names["vanilla"]: lab.scores(vanilla),
    names["components"]: lab.scores(components),
}
plots.score_frame(scores)

# %% [markdown]
# The next explorer shows the dev pairs again, for any teachers that you tick. The squares are the students from the
# table.

# %%
on_dev = {1: [run.scores["dev"] for run in vanilla], M: [run.scores["dev"] for run in components]}
explorer = explorers.EnsembleExplorer(cosines[:, 0], sentences, dev_cosines, on_dev)
explorer.show("04_ensemble_students", figures, settings)

# %% [markdown]
# Now the test scores in one figure, with the raw ensemble as the last row. Two comparisons follow: the distilled
# student against vanilla distillation, and against the raw ensemble.

# %%
headline = {name: found[lab.headline] for name, found in scores.items()}
table = {**headline, f"raw ensemble of {M}": raw[M]}
figure, ax = plots.new_axes(width=9, height=3.2)
plots.draw_score_table(ax, table, baseline=names["vanilla"])
ax.set_title(f"Scores on {lab.headline}; dashed: mean of vanilla distillation")
plots.show(figure, "04_components", figures, settings)
gain = paired_difference(headline[names["components"]], headline[names["vanilla"]])
against_raw = paired_difference(headline[names["components"]], raw[M] * len(components))
answers = [verdict(gain, names["components"], names["vanilla"])]
answers.append(verdict(against_raw, "the distilled student", f"the raw ensemble of {M}"))
print("\n".join(answers))

# %% [markdown]
# The first sentence pairs students by seed. The second holds the raw ensemble fixed, so its interval covers only other
# seeds of the student, with these teachers. The paper's numbers (Table 5, BERT-base, seven-task average, no spread)
# are 77.03 for vanilla distillation, 78.64 for teacher components, and only 76.45 for the raw ensemble, which lies
# below its own student. Here is the same comparison on real data, as it ships with the kit:

# %%
show_sweep(lab, "table5", figures, recompute)

# %% [markdown]
# How can a student be better than the ensemble that taught it, as in the paper? It does more than copy. It also trains
# with the contrastive loss, it starts again from the base, and its best checkpoint is chosen on dev. And a *raw
# ensemble* costs M times as much at every use, so a student does not even have to be better to be worth having.
#
# ## What it costs
#
# Here is what you pay for each, once in training and then for every sentence:
#
# | | training | embedding one sentence |
# |---|---|---|
# | one teacher | 1 run | 1 pass |
# | raw ensemble of M | M runs | M passes, vectors M times as long |
# | student of M | M + 1 runs, and the corpus embedded M times once | 1 pass |
#
# ## Summary
#
# - A mean of cosines is the cosine of longer vectors, so an ensemble is an encoder and its logits are one product.
# - Averaging reduces the noise of the seeds as 1/M; what the teachers share stays.
# - This is what it did to the scores here:

# %%
print("\n".join(answers))
