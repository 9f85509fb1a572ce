# %% [markdown]
# # 04 Teacher ensembles
#
# **Goal.** See what the mean of several teachers' logits is, what it costs, and what a student gains from it.
#
# **You will learn**
#
# - that a mean of cosines is the cosine of a concatenation, so an ensemble is simply an encoder,
# - how the raw ensemble scores with more and more teachers,
# - how students of 1, 2, 4, ... teachers score, and whether "teacher components" beat one teacher,
# - whether distilling an ensemble is worth it, against using the ensemble itself.
#
# **Time:** half a minute on smoke; on laptop about 5 minutes if no student has been trained yet.

# %% [markdown]
# The parameters, the same in every notebook:

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
# DistillCSE's second idea (Eq 7, "teacher components") is to average the logits of $M$ teachers that differ in the
# seed:
#
# $$t_{ij} = \frac1M \sum_{m=1}^{M} \cos\!\big(h^{(m)}_i, h^{(m)}_j\big).$$
#
# It averages **cosines**: not the probabilities after the softmax, and not the embeddings, which belong to different
# spaces and cannot be added. Notebook 02 measured what this removes: noise of seeds, as $1/M$, down to a floor.
#
# **Predict first:** of how many teachers does the mean need to be, until one more of them changes its targets no longer?
# And what does it score on the dev pairs, as it is, without any student?

# %%
batch_size = lab.profile.training.batch_size
rows = analysis.sample_batches(len(lab.corpus), batch_size, 10, seed)
stored = lab.all_embeddings(teachers)
cosines = analysis.batch_cosines(analysis.teacher_vectors(stored, rows))
sentences = [lab.corpus.sentences[row] for row in rows[0]]
dev_cosines = np.stack([lab.pair_cosines(teacher, "dev") for teacher in teachers]), lab.dev.score
explorers.EnsembleExplorer(cosines[:, 0], sentences, dev_cosines).show("04_ensemble_row", figures, settings)

# %% [markdown]
# ## A mean of cosines is a cosine
#
# Put the teachers' unit embeddings side by side, each divided by $\sqrt M$:
#
# $$H_i = \frac{1}{\sqrt M}\big[h^{(1)}_i; \dots; h^{(M)}_i\big], \qquad
#   H_i^\top H_j = \frac1M\sum_m h^{(m)\top}_i h^{(m)}_j = t_{ij}, \qquad \lVert H_i\rVert = 1 .$$
#
# So the mean of $M$ cosines is *one* cosine, of longer vectors. Two things follow. The logits of a batch under 16
# teachers are a single matrix product. And the raw ensemble is an encoder like any other: it can be scored, searched
# with, or distilled. The next cell compares both sides on a real batch.

# %%
mean_of_cosines = cosines[:, 0].mean(axis=0)
concatenation = lab.ensemble(teachers).vectors(rows[0]).astype(np.float64)
of_concatenation = concatenation @ concatenation.T
difference = np.abs(mean_of_cosines - of_concatenation).max()
print(f"{len(teachers)} teachers, {batch_size} sentences: the largest difference of the two is {difference:.1e}.")
assert difference < 1e-6

# %% [markdown]
# The same through the encoder that the kit makes of several (`EnsembleEncoder`), on test pairs:

# %%
pairs = lab.tests[lab.headline]


def cosines_of(run):
    """A teacher's cosines of the test pairs, computed once and kept in the store."""
    content = {"run": run.key, "pairs": pairs_fingerprint(pairs)}
    return lab.store.json("pair-cosines", content, lambda: pair_cosines(run.encoder(), pairs).tolist())


by_teacher = np.array([cosines_of(teacher) for teacher in teachers])
as_encoder = pair_cosines(EnsembleEncoder([teacher.encoder() for teacher in teachers[:2]]), pairs)
difference = np.abs(as_encoder - by_teacher[:2].mean(axis=0)).max()
print(f"Mean of two teachers' cosines against the ensemble encoder: largest difference {difference:.1e}")
assert difference < 1e-6

# %% [markdown]
# ## The raw ensemble
#
# How well does the ensemble itself score? For each M the teachers are divided into separate groups of M, so that the
# scores of one M are independent and have an honest interval: 16 teachers give eight ensembles of 2, but a single one
# of 16.

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
# ## Students of 1, 2, 4, ... teachers
#
# Now distil. All students are of the same size and have the same training; only the targets differ: the logits of the
# first teacher, or the mean of the first M, as they are or with Group-P. Thanks to the stored embeddings a student of 16
# teachers trains as fast as a student of one. (Like all *sweeps*, these students ship with the kit; see notebook 03.)
#
# **Predict first:** draw two curves of scores against M before you look, with and without Group-P. How many teachers
# buy what one shuffle buys?

# %%
show_sweep(lab, "ensembles", figures, recompute)
# %% [markdown]
# All students of one M share the *same* teachers: these intervals speak of the student's seed, not of other teachers. So
# how many teachers, averaged, buy what one shuffle buys? Students of M teachers without shuffling against students of
# one teacher with Group-P, on dev:

# %%
grown = {label: found["dev"] for label, found in sweep_result(lab, "ensembles", recompute).table.items()}
for label, found in grown.items():
    if "Group-P" not in label:
        print(verdict(paired_difference(found, grown["1 teacher, Group-P"]), label, "one teacher with Group-P"))

# %% [markdown]
# ## Teacher components against one teacher

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
# The same on the dev pairs, for any teachers that you choose; the squares are these students:

# %%
on_dev = {1: [run.scores["dev"] for run in vanilla], M: [run.scores["dev"] for run in components]}
explorer = explorers.EnsembleExplorer(cosines[:, 0], sentences, dev_cosines, on_dev)
explorer.show("04_ensemble_students", figures, settings)

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
# The first sentence pairs students by seed. The second holds the raw ensemble fixed: its interval speaks of the
# student's seeds alone, with these teachers. In the paper (Table 5, BERT-base, seven-task average, a single number
# each): vanilla distillation 77.03, teacher components 78.64, and the raw ensemble only 76.45, below its own students.
# The same on real data, as it ships:

# %%
show_sweep(lab, "table5", figures, recompute)
# %% [markdown]
# How can a student be better than the ensemble that taught it? It does not only copy: it is trained with the
# contrastive loss as well, starts again from the base, and its best checkpoint is chosen on dev. Against a *raw
# ensemble* that is M times as costly at every use, a student need not even be better to be worth having.
#
# ## What it costs
#
# | | training | each sentence embedded |
# |---|---|---|
# | one teacher | 1 run | 1 pass |
# | raw ensemble of M | M runs | M passes, vectors M times as long |
# | student of M | M + 1 runs, corpus embedded M times once | 1 pass |
#
# ## Summary
#
# - A mean of cosines is the cosine of a concatenation, so an ensemble is an encoder and its logits one product.
# - Averaging removes noise of seeds as 1/M; what the teachers share stays.
# - What it did to scores here:

# %%
print("\n".join(answers))
