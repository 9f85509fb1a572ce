# %% [markdown]
# # 03 Group-P shuffling
#
# **Goal.** Understand Group-P, the first of DistillCSE's two remedies against noisy teachers. You work it out by hand
# on seven sentences, then see it on a real batch, and then in students trained with it and without it.
#
# **You will learn**
#
# - how logits are put into groups, and why the temperature of the cut matters,
# - what a shuffle costs in cross-entropy, KL and rank correlation,
# - that the *expected* loss under Group-P is the loss against group means,
# - whether students here gain from it, with intervals over seeds.
#
# **Time:** half a minute on smoke. About 9 minutes on laptop if no student has been trained yet.

# %% [markdown]
# The next cell holds the parameters, the same in every notebook, and one more:

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
import torch

from distillcse_kit import analysis, explorers, plots
from distillcse_kit.evaluation import paired_difference, verdict
from distillcse_kit.evaluation.power import seeds_needed
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
# $$\ell_{distill} = -\frac1N \sum_{i}\sum_{j\neq i} q_{ij}\,\log p_{ij}, \qquad
#   q_{i\cdot} = \operatorname{softmax}_{j\ne i}(t_{ij}/\tau_t),\quad p_{i\cdot} = \operatorname{softmax}_{j\ne i}(s_{ij}/\tau_s).$$
#
# Notebook 02 showed that the gap between neighbouring logits is often smaller than the difference between teachers. A
# student that learns the order of such neighbours learns an accident of its teacher's seed. Group-P keeps the coarse
# order: these are near, those are far. It destroys the order inside groups. It does so again at every step, so the
# student cannot learn it.
#
# ## By hand, on one row
#
# Take seven sentences. The first is the anchor, and the table below lists its cosines with the other six. The rule has
# four steps (Eq 5 and 6):
#
# 1. Sort the logits, largest first.
# 2. Take the cumulative sum $c_k$ of $\operatorname{softmax}_j(t_{ij})$ **at temperature 1**.
# 3. Logit $k$ belongs to group $g$ if $g\,p \le c_k < (g+1)\,p$. The last group takes whatever is left.
# 4. Permute the logits at random inside each group.
#
# Here $p$ (without indices) is the share of the probability that each group gets.
#
# **Predict first:** with $p = 0.4$, how many groups will there be, and which logits are in the first?

# %%
row = torch.tensor([0.90, 0.80, 0.75, 0.40, 0.30, 0.10])
p = 0.4
probability = torch.softmax(row, dim=0)
by_hand = pd.DataFrame({"logit": row, "softmax at 1": probability, "cumulative c_k": probability.cumsum(0)})
by_hand["c_k / p"] = by_hand["cumulative c_k"] / p
by_hand["group"] = np.minimum(np.floor(by_hand["c_k / p"]), np.ceil(1 / p) - 1).astype(int)
by_hand.round(3)

# %% [markdown]
# There are three groups, with one, three and two logits. The first group holds only the largest logit, because the
# cumulative sum of the second logit is already above 0.4.
#
# The library does the same for all rows of a batch at once. Below are its groups for this row, and four shuffles of it.
# The diagonal (the anchor itself) has group -1, because it never takes part:

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
# Only logits of the same group change places.
#
# ## On a real batch
#
# Now take a batch of training sentences, and the cosines that teacher 0 gives them. In the upper panel, the bars are
# the logits of one row, sorted and coloured by group. The dots are the logits after one shuffle. The lower panel, on a
# log scale, shows the targets before and after the shuffle, and the group mean, which is the average over all shuffles.
#
# **Predict first:** what happens at $p = 0.01$? And at $p = 1$?

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
# Each dot is as high as some bar of its own group. Move p to check your prediction. At 0.01 almost every group holds
# one logit at most, so almost nothing moves. At 1 the whole row is one group, and all order is lost.
#
# ## The temperature of the cut
#
# At temperature 1, a softmax over cosines is nearly flat, because cosines differ by less than 1. So the groups come out
# nearly equal in size.
#
# Now cut at the teacher's temperature instead. The few largest logits then hold all of the probability, and the first
# cuts fall among them. (If one large probability jumps over a whole group, that group stays empty.) All other logits
# end up in one tail group. Both versions follow Eq 5 to the letter, but they are different algorithms. The paper's code
# cuts at temperature 1, and so does the kit unless you say otherwise.
#
# The figure shows the mean size of each group for both cuts:

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
# Take a student that agrees with its teacher perfectly: $s_{ij} = t_{ij}$. How large is its distillation loss against
# the teacher's own targets $q$, and against shuffled targets $q'$? Cross-entropy contains the entropy of the targets.
# KL is what remains without it:
#
# $$H(q', p) = \underbrace{H(q')}_{\text{entropy}} + \operatorname{KL}(q' \,\|\, p).$$
#
# (Here $p$ stands for the student's distribution. KL is above 0 even without a shuffle, because the student reads its
# cosines at $\tau_s$ and the teacher at $\tau_t$.)
#
# The table compares Group-P with the paper's simpler baselines: groups of a fixed size, and one band of ranks (Table
# 3). It also has the group mean, which the next section explains. **Predict first:** which costs more, shuffling ranks
# 1 to 12 or ranks 49 to 63?

# %%
shufflers = {
    "none": lambda t, g: t,
    "Group-P, p = 0.05": lambda t, g: shuffling.group_p_shuffle(t, 0.05, generator=g),
    "Group-P, p = 0.1": lambda t, g: shuffling.group_p_shuffle(t, 0.1, generator=g),
    "Group-P, p = 0.2": lambda t, g: shuffling.group_p_shuffle(t, 0.2, generator=g),
    "Group-P, p = 0.1, cut at tau_t": lambda t, g: shuffling.group_p_shuffle(t, 0.1, wanted.teacher_temperature, g),
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
# - *Rank correlation* counts every rank alike. Cross-entropy and KL depend almost only on the top, because at a
#   temperature of 0.01 the lower ranks have next to no probability. So a shuffle can cost much by one measure and
#   little by the other. Compare the two rank bands.
# - A permutation does not change the *entropy* of the targets, so a shuffle raises cross-entropy and KL by the same
#   amount. The group mean does raise the entropy: it is smoother, and part of its cross-entropy comes from that.
# - *Group-P* and *group mean* with the same p have the same cross-entropy, up to chance. The next section says why.
#
# ## On average, Group-P is the group mean
#
# Cross-entropy is linear in its target. Average it over the permutations $\pi$ inside the groups:
#
# $$\mathbb{E}_\pi\Big[-\sum_j q_{\pi(j)} \log p_j\Big] = -\sum_g \bar q_g \sum_{j\in g}\log p_j ,
#   \qquad \bar q_g = \frac{1}{|g|}\sum_{j\in g} q_j .$$
#
# So on average, a student under Group-P is taught the *group means*: a smoothing without any noise. The kit calls it
# `group_mean`. (It is not in the paper.)
#
# The figure checks this with numbers. The mean target over $n$ shuffles approaches the group mean as $1/\sqrt n$:

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
    f"Distance to it after one shuffle: {averaged.distance[0]:.4f}, after {averaged.draws[-1]}: {averaged.distance[-1]:.4f}"
)

# %% [markdown]
# The points follow the dashed line, and the two cross-entropies agree up to chance. This raises a question that the
# paper does not ask: if Group-P helps, is it because of the smoothing or because of the noise? If it is the smoothing,
# `group_mean` should do as well. So we train both.
#
# ## Trained students
#
# We train one student for each method and seed. The student of seed $s$ learns from teacher $s$ and starts again from
# the base encoder. **Predict first:** order the three methods by their test score, and say how sure you are.
#
# The table and the figure give the scores, and the sentences below them compare the methods in pairs:

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
# The sentences compare runs with the same seed and teacher, so whatever these runs share cancels out. If an interval
# contains 0, these seeds do not decide the question. The seed alone changes the score of SimCSE by about 2 points. The
# paper reports 77.03 for vanilla distillation and 78.02 with Group-P (average of seven tasks, BERT-base, one number
# each).
#
# The next figure shows the training curves (Figure 2 of the paper). Under Group-P the distillation loss stays higher,
# because the targets change at every step and cannot be memorised. The group mean's loss is higher too, because its
# targets have more entropy. So you *cannot* compare the losses of different methods, but you can compare their dev
# scores:

# %%
histories = {name: [run.history for run in found] for name, found in runs.items()}
figure, axes = plots.new_axes(1, 2, width=11, height=4)
plots.draw_history(axes[0], histories, "distillation")
plots.draw_history(axes[1], histories, "dev")
axes[0].set_title("loss against each method's own targets")
axes[1].set_title(f"score on {lab.dev.name}")
plots.show(figure, "03_training", figures, settings)

# %% [markdown]
# A method with a higher loss on the left can still have a higher dev score on the right.
#
# ## How large should p be? (Table 6)
#
# With a small p, each group holds one logit, and nothing is shuffled. With p = 1 there is one group, and all order is
# lost. The paper finds 0.1 best on STS-B dev, with one number for each value. But the seed alone changes such a score by
# about as much as the values of p do.
#
# The tables from here on are *sweeps*: they train many students, too many for a lesson. The kit ships their results,
# computed on real data with the laptop profile. To compute them yourself, set `recompute = True` in the parameters or
# run `distillcse sweep NAME`. Each row is compared with the first one, seed by seed. With Holm's correction, chance
# alone produces an effect in at most one table out of twenty, however many rows a table has.
#
# **Predict first:** which p wins here, and is its lead larger than the intervals?

# %%
show_sweep(lab, "table6-p", figures, recompute)

# %% [markdown]
# Read the sentences below the figure before you name a winner: they say which rows differ from the first one, and how
# small a difference these seeds could have found.
#
# ## Which ranks should be shuffled? (Table 3)
#
# Here only one band of ranks is shuffled, without groups, to see where shuffling helps. The paper's best band is the
# top one. Neighbouring logits count most there, and notebook 02 found that teachers disagree on their order:

# %%
show_sweep(lab, "table3", figures, recompute)

# %% [markdown]
# At a teacher temperature of 0.01, the lower bands hold next to no probability. Shuffling them can hardly change what
# is taught. The paper still reports a gain for every band, without a spread.
#
# ## Smoothing or noise? (beyond the paper)
#
# This is the question from above, with as many seeds as there are teachers. That is more than most sweeps have. The two
# methods teach the same targets *on average*, so their students may be close together, and more seeds are needed to see
# a difference. The last line below says how many seeds it takes to find half a point:

# %%
show_sweep(lab, "smoothing", figures, recompute)
noise = sweep_result(lab, "smoothing", recompute).compared("dev")["group mean"].difference
print(
    f"Seeds needed to detect half a point of Spearman, four times in five: {seeds_needed(0.5, noise.standard_deviation)}"
)

# %% [markdown]
# The first row is Group-P. Suppose *group mean* does not differ significantly from it while *not shuffled* does. Then
# the smoothing explains what Group-P does, as far as these seeds can show. "Not significantly different" is not "the
# same": the interval says how large a difference is still possible.
#
# ## At which temperature should groups be cut? (beyond the paper)
#
# By default, groups are cut by the softmax at temperature 1, which is nearly flat. If they are cut at the teacher's
# temperature, the largest logits get groups of their own and all the rest is one group. That is another algorithm under
# the same name. Does it make better students?

# %%
show_sweep(lab, "cut", figures, recompute)

# %% [markdown]
# The sentences below the figure compare the other two rows, the cut at the teacher's temperature and no shuffle, with
# the cut at temperature 1.
#
# ## Summary
#
# - Group-P cuts a row's sorted logits at equal shares of a nearly flat softmax, and permutes them inside the groups.
# - The temperature of the cut decides what is shuffled. The paper uses 1, which gives groups of nearly equal size.
# - Its expected loss is the loss against group means. So Group-P is a smoothing, with noise on top.
# - What it does to the students here, once more:

# %%
for what, than in ((group_p, vanilla), (group_mean, vanilla), (group_mean, group_p)):
    print(verdict(paired_difference(headline[what], headline[than]), what, than))
