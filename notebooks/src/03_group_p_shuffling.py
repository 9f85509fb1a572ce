# %% [markdown]
# # 03 Group-P shuffling
#
# **Goal.** Understand Group-P, the first of DistillCSE's two remedies against noisy teachers: by hand on seven
# sentences, then on a real batch, then in students that were trained with and without it.
#
# **You will learn**
#
# - the group rule, and why the temperature of the cut matters,
# - what a shuffle costs: cross-entropy, KL and rank correlation,
# - that the *expected* loss under Group-P is the loss against group means,
# - whether students gain from it here, by intervals over seeds.
#
# **Time:** half a minute on smoke; on laptop about 9 minutes if no student has been trained yet.

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
import torch

from distillcse_kit import analysis, explorers, plots
from distillcse_kit.evaluation import paired_difference, verdict
from distillcse_kit.evaluation.statistics import seeds_needed
from distillcse_kit.experiments.sweep_result import sweep_result
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.method import shuffling
from distillcse_kit.plots.sweep_plots import show_sweep
from distillcse_kit.training.named_recipes import METHODS

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings = lab.describe()
wanted = lab.profile.distillation

# %% [markdown]
# ## Why shuffle?
#
# A student learns the teacher's whole distribution over the other sentences of the batch (Eq 2):
#
# $$\ell_{\text{distill}} = -\sum_{i}\sum_{j\neq i} q(t_{ij})\,\log p(s_{ij}), \qquad
#   q = \operatorname{softmax}_{j\ne i}(t_{ij}/\tau_t),\quad p = \operatorname{softmax}_{j\ne i}(s_{ij}/\tau_s).$$
#
# Notebook 02 showed that neighbouring logits often lie closer together than teachers agree. A student that learns their
# order learns the seed of its teacher. Group-P keeps what is coarse, "these are near, those are far", and destroys the
# order inside groups, anew at every step, so that it cannot be learned.
#
# ## By hand, on one row
#
# Seven sentences; the first is the anchor and has these cosines with the other six. The rule (Eq 5 and 6):
#
# 1. sort the logits, largest first;
# 2. take the cumulative sum $c_k$ of $\operatorname{softmax}_j(t_{ij})$ **at temperature 1**;
# 3. logit $k$ is in group $g$ when $g\,p \le c_k < (g+1)\,p$; the last group takes whatever is left;
# 4. permute the logits at random inside each group.
#
# **Predict first:** with p = 0.4, how many groups will there be, and which logits are in the first?

# %%
row = torch.tensor([0.90, 0.80, 0.75, 0.40, 0.30, 0.10])
p = 0.4
probability = torch.softmax(row, dim=0)
by_hand = pd.DataFrame({"logit": row, "softmax at 1": probability, "cumulative c_k": probability.cumsum(0)})
by_hand["c_k / p"] = by_hand["cumulative c_k"] / p
by_hand["group"] = np.minimum(np.floor(by_hand["c_k / p"]), np.ceil(1 / p) - 1).astype(int)
by_hand.round(3)

# %% [markdown]
# The library does the same for all rows of a batch at once. Here are its groups of that row, and four shuffles of it.
# Note that the diagonal (the anchor itself) has group -1: it never takes part.

# %%
toy = torch.eye(7)
toy[0, 1:] = toy[1:, 0] = row
generator = torch.Generator().manual_seed(seed)
print("groups", shuffling.group_p_assignments(toy, p)[0].tolist())
for number in range(4):
    shuffled = shuffling.group_p_shuffle(toy, p, generator=generator)[0, 1:]
    print(f"shuffle {number + 1}:", [f"{value:.2f}" for value in shuffled.tolist()])
assert shuffling.group_p_assignments(toy, p)[0, 1:].tolist() == by_hand["group"].tolist()

# %% [markdown]
# ## On a real batch
#
# A batch of training sentences and the cosines that teacher 0 gives them. In the upper panel the bars are one row's
# logits, sorted, coloured by group; the dots are the logits after one shuffle. In the lower panel, on a log scale, the
# targets before and after, and the group mean, which is the average over all shuffles.
#
# **Predict first:** what happens at p = 0.01? And at p = 1?

# %%
teachers = lab.teachers()
rows = analysis.sample_batches(len(lab.corpus), lab.profile.training.batch_size, 1, seed)[0]
sentences = [lab.corpus.sentences[index] for index in rows]
cosines = lab.ensemble(teachers[:1]).cosines(rows)
explorer = explorers.GroupPExplorer(
    cosines, sentences, wanted.p, wanted.teacher_temperature, wanted.student_temperature
)
explorer.show("03_group_p_row", figures, settings)

# %% [markdown]
# ## The temperature of the cut
#
# At temperature 1 a softmax over cosines is nearly flat, because cosines differ by less than 1; so the groups come out
# nearly equal in size. Cut at the teacher temperature instead, and the few largest logits hold all of the probability:
# the first cuts fall among them (a group that a large probability jumps over stays empty), and all others land in one
# tail group. Both are "Group-P" by the letter of Eq 5; they are different algorithms. The paper's code cuts at 1, and
# so does the kit unless told otherwise.

# %%
sizes = {
    "cut at temperature 1": analysis.group_sizes(cosines, wanted.p, 1.0),
    f"cut at {wanted.teacher_temperature}": analysis.group_sizes(cosines, wanted.p, wanted.teacher_temperature),
}
figure, ax = plots.new_axes(width=8, height=3.8)
plots.draw_group_sizes(ax, sizes)
ax.set_title(f"Group sizes at p = {wanted.p}")
plots.show(figure, "03_group_sizes", figures, settings)

# %% [markdown]
# ## What a shuffle costs
#
# Take a student that agrees with the teacher perfectly, $s_{ij} = t_{ij}$. How large is its distillation loss against
# the teacher's own targets, and against shuffled ones? Cross-entropy contains the entropy of the targets; KL is what is
# left without it:
#
# $$H(q', p) = \underbrace{H(q')}_{\text{entropy}} + \operatorname{KL}(q' \,\|\, p).$$
#
# (KL is above 0 even without a shuffle, since the student reads its cosines at $\tau_s$ and the teacher at $\tau_t$.)
# Beside Group-P stand the paper's simpler baselines: groups of a fixed size, and a single band of ranks (Table 3).
# **Predict first:** shuffling ranks 1 to 12 or ranks 49 to 63: which costs more?

# %%
shufflers = {
    "none": lambda t, g: t,
    "Group-P, p = 0.05": lambda t, g: shuffling.group_p_shuffle(t, 0.05, generator=g),
    "Group-P, p = 0.1": lambda t, g: shuffling.group_p_shuffle(t, 0.1, generator=g),
    "Group-P, p = 0.2": lambda t, g: shuffling.group_p_shuffle(t, 0.2, generator=g),
    "Group-P, p = 0.1, cut at teacher's": lambda t, g: shuffling.group_p_shuffle(t, 0.1, wanted.teacher_temperature, g),
    "group mean, p = 0.1": lambda t, g: shuffling.group_mean(t, 0.1, 1.0, wanted.teacher_temperature),
    "fixed groups of 6": lambda t, g: shuffling.fixed_group_shuffle(t, 6, g),
    "ranks 1 to 12": lambda t, g: shuffling.rank_band_shuffle(t, 0, 12, g),
    "ranks 49 to the last": lambda t, g: shuffling.rank_band_shuffle(t, 48, len(t), g),
}
tau = {"student_temperature": wanted.student_temperature, "teacher_temperature": wanted.teacher_temperature}
costs = {name: analysis.shuffle_cost(cosines, shuffler, **tau, seed=seed) for name, shuffler in shufflers.items()}
plots.cost_frame(costs)

# %% [markdown]
# Three things to look for:
#
# - *Rank correlation* counts every rank alike, while cross-entropy and KL hear almost only of the top: at a temperature
#   of 0.01 the lower ranks have next to no probability. So a shuffle can cost much in one and little in the other;
#   compare the two rank bands.
# - A permutation does not change the *entropy* of the targets, so with a shuffle all that cross-entropy gains is KL.
#   The group mean does raise the entropy: it is smoother, and part of its cross-entropy is that.
# - *Group-P* and *group mean* at equal p have the same cross-entropy, up to chance. The next section says why.
#
# ## Expectation: Group-P is a noisy group mean
#
# Cross-entropy is linear in its target. Averaged over the permutations $\pi$ inside the groups,
#
# $$\mathbb{E}_\pi\Big[-\sum_j q_{\pi(j)} \log p_j\Big] = -\sum_g \bar q_g \sum_{j\in g}\log p_j ,
#   \qquad \bar q_g = \frac{1}{|g|}\sum_{j\in g} q_j .$$
#
# So, in expectation, a student under Group-P is taught the *group means*: a smoothing without any noise. The kit calls
# it `group_mean`. (This is not in the paper.) Numerically: the mean target over $n$ shuffles approaches the group mean
# as $1/\sqrt n$.

# %%
averaged = analysis.mean_of_shuffles(cosines, wanted.p, 1.0, wanted.teacher_temperature, seed=seed)
figure, ax = plots.new_axes(width=7, height=4)
plots.draw_mean_of_shuffles(ax, averaged)
ax.set_title("The mean of many shuffles is the group mean")
plots.show(figure, "03_mean_of_shuffles", figures, settings)
many = analysis.shuffle_cost(cosines, shufflers["Group-P, p = 0.1"], **tau, draws=100, seed=seed)
print(f"Cross-entropy, mean of 100 shuffles: {many.cross_entropy:.3f}")
print(f"Cross-entropy, group mean:           {costs['group mean, p = 0.1'].cross_entropy:.3f}")
print(
    f"Distance after {averaged.draws[-1]} shuffles: {averaged.distance[-1]:.4f} (after one: {averaged.distance[0]:.4f})"
)

# %% [markdown]
# That raises a question which the paper does not ask: if Group-P helps, is it the smoothing or the noise? If the
# smoothing, `group_mean` should do as well. So we train both.
#
# ## Trained students
#
# One student per seed and method; the student of seed $s$ learns from teacher $s$ and starts again from the base
# encoder. **Predict first:** order the three methods by their test score, and say how sure you are.

# %%
methods = ("vanilla", "group_p", "group_mean")
runs = {METHODS[method]: lab.students(method) for method in methods}
teachers_own = teachers[: lab.profile.seeds]
scores = {"their teachers": lab.scores(teachers_own), **{name: lab.scores(found) for name, found in runs.items()}}
plots.score_frame(scores)

# %%
vanilla, group_p, group_mean = runs
figure, ax = plots.new_axes(width=9, height=3.2)
headline = {name: found[lab.headline] for name, found in scores.items()}
plots.draw_score_table(ax, headline, baseline=vanilla)
ax.set_title(f"Students on {lab.headline}, {lab.profile.seeds} seeds; dashed: mean of vanilla distillation")
plots.show(figure, "03_students", figures, settings)
for what, than in ((group_p, vanilla), (group_mean, vanilla), (group_mean, group_p)):
    print(verdict(paired_difference(headline[what], headline[than]), what, than))

# %% [markdown]
# The sentences compare runs with the same seed and teacher, so what those share cancels. An interval that contains 0
# means: these seeds do not decide it. Seeds alone move SimCSE by about 2 points; the paper reports 77.03 for vanilla
# distillation and 78.02 with Group-P (seven-task average, BERT-base, a single number each).
#
# The training curves (Figure 2 of the paper): under Group-P the distillation loss stays higher, as the targets change
# at every step and cannot be memorised. So losses of different methods are *not* comparable; dev scores are.

# %%
histories = {name: [run.history for run in found] for name, found in runs.items()}
figure, axes = plots.new_axes(1, 2, width=11, height=4)
plots.draw_history(axes[0], histories, "distillation")
plots.draw_history(axes[1], histories, "dev")
axes[0].set_title("against each method's own targets")
axes[1].set_title(f"on {lab.dev.name}")
plots.show(figure, "03_training", figures, settings)

# %% [markdown]
# ## How large should p be? (Table 6)
#
# A small p makes groups of one logit: no shuffle at all. p = 1 makes one group: all order is lost. The paper finds 0.1
# best on STS-B dev, with one run a value. Seeds alone move such a score by about as much as its values differ.
#
# The tables from here on are *sweeps*: many students, too many for a lesson. The kit ships what they gave on real data
# with the laptop profile; `recompute = True` in the parameters, or `distillcse sweep NAME`, makes them yourself. Each
# row is compared with the first one, seed by seed, and Holm's correction takes care that a table of many rows does
# not find an effect by chance more often than one table in twenty.
#
# **Predict first:** which p wins here, and by how much more than the intervals?

# %%
show_sweep(lab, "table6-p", figures, recompute)
# %% [markdown]
# ## Which ranks should be shuffled? (Table 3)
#
# Shuffle only one band of ranks, without groups, and see where it helps. The paper's best band is the top one, which is
# where neighbouring logits count most, and where notebook 02 found that teachers disagree on the order.

# %%
show_sweep(lab, "table3", figures, recompute)
# %% [markdown]
# ## Smoothing or noise? (beyond the paper)
#
# The question from above, with as many seeds as there are teachers: more than the other sweeps have, because the two
# methods teach the same targets *on average* and their students may lie close together.

# %%
show_sweep(lab, "smoothing", figures, recompute)
noise = sweep_result(lab, "smoothing", recompute).compared("dev")["group mean"].difference
print(
    f"Seeds to tell half a point of Spearman from 0, four times in five: {seeds_needed(0.5, noise.standard_deviation)}"
)

# %% [markdown]
# The first row is Group-P. If *group mean* is not told from it while *not shuffled* is, the smoothing explains what
# Group-P does, as far as these seeds can see. "Not told apart" is not "the same": the interval says how large a
# difference is still possible.
#
# ## At which temperature should groups be cut? (beyond the paper)
#
# Groups are cut by the softmax at temperature 1, which is nearly flat. Cut at the teacher temperature, the largest
# logits get groups of their own and all the rest is one group: another algorithm under the same name.

# %%
show_sweep(lab, "cut", figures, recompute)
# %% [markdown]
# ## Summary
#
# - Group-P cuts a row's sorted logits at equal shares of a nearly flat softmax and permutes inside the groups.
# - The temperature of the cut decides what is shuffled; 1 is the paper's, and gives groups of nearly equal size.
# - Its expected loss is the loss against group means: a smoothing, with noise on top.
# - What it does to students here, once more:

# %%
for what, than in ((group_p, vanilla), (group_mean, vanilla), (group_mean, group_p)):
    print(verdict(paired_difference(headline[what], headline[than]), what, than))
