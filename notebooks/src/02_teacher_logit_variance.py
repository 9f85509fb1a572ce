# %% [markdown]
# # 02 Teacher logit variance
#
# **Goal.** See, on your own teachers, the observation that DistillCSE starts from: two teachers that differ only in
# their seed agree on single *sentences* far better than on *pairs* of sentences, and pairs are what a student learns.
#
# **You will learn**
#
# - what "first order" and "second order" mean, and why the second is noisier,
# - how training batches differ from test pairs (Figure 1 and Table 1 of the paper),
# - how far teachers disagree, and where in a row of logits (Table 2),
# - what averaging M teachers removes, and what it cannot.
#
# **Time:** less than half a minute on smoke, a few minutes on laptop, once the teachers of notebook 01 are trained.

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

# %%
import numpy as np
import pandas as pd

from distillcse_kit import analysis, explorers, plots
from distillcse_kit.experiments.published import TABLE_1, TABLE_2, TOP_AGREEMENT
from distillcse_kit.laboratory import Laboratory

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings = lab.describe()

# %% [markdown]
# ## The teachers, and a few batches
#
# The teachers are SimCSE runs that differ in the seed alone: the order of sentences, the dropout masks and the training
# head. (They are loaded if an earlier notebook has trained them.) Each has embedded the whole corpus once; from those
# stored embeddings we take the same random mini-batches for every teacher: an array `[M, B, N, d]` of M teachers, B
# batches, N sentences and d dimensions.

# %%
teachers = lab.teachers()
batch_size, batches = lab.profile.training.batch_size, 10 * lab.profile.seeds
rows = analysis.sample_batches(len(lab.corpus), batch_size, batches, seed)
stored = lab.all_embeddings(teachers)
vectors = analysis.teacher_vectors(stored, rows)
cosines = analysis.batch_cosines(vectors)
print(f"{len(teachers)} teachers, {batches} batches of {batch_size} sentences, {vectors.shape[-1]} dimensions")

# %% [markdown]
# ## First and second order
#
# Let $h_i$ be the unit embedding of sentence $i$. The paper looks at two quantities:
#
# $$\text{1st order:}\quad \mu_i = \frac{1}{d}\sum_{k=1}^{d} h_{ik} \qquad\qquad
#   \text{2nd order:}\quad t_{ij} = h_i^\top h_j .$$
#
# The first speaks of one sentence, the second of a pair. Distillation works on the second: the teacher's logits of a
# row are the $t_{ij}$ of one sentence $i$ with all others in the batch.
#
# ### Figure 1 and Table 1: training batches against test pairs
#
# **Predict first.** Random sentences in a batch against the pairs of an STS set: which of the two quantities will look
# alike in both places, and which will not? In which direction?

# %%
encoder = teachers[0].encoder()
first, second = encoder.encode(lab.dev.first), encoder.encode(lab.dev.second)
orders = analysis.compare_orders(vectors[0], first, second)
figure, axes = plots.new_axes(1, 2, width=11, height=4)
for ax, order in zip(axes, orders, strict=True):
    plots.draw_sorted_magnitudes(ax, order)
plots.show(figure, "02_sorted_magnitudes", figures, settings)
plots.comparison_frame(orders)

# %% [markdown]
# The paper, with BERT-base and STS-B dev:
#
# | | training | test | KL |
# |---|---|---|---|
# | 1st order | -7.43e-4 ± 5.25e-5 | -7.29e-4 ± 4.61e-5 | 0.0037 |
# | 2nd order | 0.267 ± 0.064 | 0.696 ± 0.181 | 3.8794 |
#
# Read both tables with care:
#
# - **A test set is chosen, a batch is drawn.** The pairs of an STS set were picked so that many are similar; two random
#   sentences rarely are. Part of the gap is how such sets are made, and would be there for a perfect encoder.
# - **A standard deviation has a unit.** Comparing 5e-5 with 0.06 compares different scales. The columns std / |mean| do
#   not depend on the scale (the paper's own numbers give 7% against 24% in training).
# - **KL needs an estimator.** The paper names none, and its 3.8794 is not the closed form for Gaussians of its own
#   moments (that gives 3.41, or 24.9 in the other direction). We show two: histograms of 50 equal bins over the joint
#   range with half a count added, and the Gaussian closed form, both KL(training ‖ test).

# %%
sentence, pair = orders
print(f"Sentences: training and test means lie {sentence.gap:.1f} training standard deviations apart.")
print(f"Pairs:     training and test means lie {pair.gap:.1f} training standard deviations apart.")
apart = "Pairs" if pair.gap > sentence.gap else "Sentences"
print(f"{apart} differ more between training and test, on this teacher and these data.")

# %% [markdown]
# ## Table 2: how far do teachers disagree?
#
# Now the same sentences under all M teachers. **Predict first:** the noise of one dimension of an embedding has some
# standard deviation $\sigma$. What is then the noise of a mean over $d$ dimensions? And of a cosine?

# %%
spreads = analysis.teacher_spread(vectors)
figure, ax = plots.new_axes(width=9, height=3)
plots.draw_noise_to_signal(ax, spreads)
ax.set_title("Spread over teachers, in units of what tells sentences or pairs apart")
plots.show(figure, "02_noise_to_signal", figures, settings)
plots.spread_frame(spreads)

# %% [markdown]
# Tables 1 and 2 beside the paper's, as coefficients of variation, the only way to compare quantities of different
# scale and encoders of different width. (Left: one teacher, over sentences or pairs. Right: over teachers.)

# %%
short = ("1st order", "2nd order")
in_training = dict(zip(short, (order.train_moments.coefficient for order in orders), strict=True))
over_teachers = dict(zip(short, (spreads[0].coefficient, spreads[2].coefficient), strict=True))
mean = {name: abs(TABLE_1[name]["training"][0]) for name in short}
figure, axes = plots.new_axes(1, 2, width=11, height=3)
plots.draw_beside_paper(axes[0], in_training, {name: TABLE_1[name]["training"][1] / mean[name] for name in short})
plots.draw_beside_paper(axes[1], over_teachers, {name: TABLE_2[name] / mean[name] for name in short})
axes[0].set_title("Table 1: how sentences and pairs of a batch differ")
axes[1].set_title(f"Table 2: how teachers differ (here {len(teachers)}, the paper 16)")
plots.show(figure, "02_coefficients", figures, settings)

# %% [markdown]
# The mean over dimensions of our encoder may lie near 0, where a ratio to the mean says nothing: look at its size above.
# The paper's values over 16 teachers: std 2.177e-5 (1st order) and 0.0406 (2nd order), with differential entropies
# -9.3160 and -1.7853. Two remarks before believing that ratio of nearly 2,000:
#
# - The entropy is exactly $\tfrac12\ln(2\pi e\,\sigma^2)$, so it repeats the standard deviation and adds nothing.
# - Much of the ratio is arithmetic. If the noise were independent over dimensions with standard deviation $\sigma$,
#
# $$\operatorname{sd}(\mu_i) = \frac{\sigma}{\sqrt d}, \qquad
#   t_{ij} + \delta t_{ij} \approx h_i^\top h_j + h_j^\top\delta_i + h_i^\top\delta_j
#   \;\Rightarrow\; \operatorname{sd}(t_{ij}) = \sqrt{2}\,\sigma .$$
#
# A mean averages noise away; a cosine of unit vectors collects the noise of *both* sentences. That alone makes a factor
# of $\sqrt{2d}$. The next cell compares it with what was measured.

# %%
mean_order, dimension, cosine, centred = spreads
width, sigma = vectors.shape[-1], dimension.over_teachers
measured = [mean_order.over_teachers, cosine.over_teachers, cosine.over_teachers / mean_order.over_teachers]
predicted = [sigma / np.sqrt(width), np.sqrt(2) * sigma, np.sqrt(2 * width)]
index = ["sd of the 1st order", "sd of the 2nd order", "ratio"]
pd.DataFrame({"measured": measured, "if noise were independent": predicted}, index=index).map("{:.3g}".format)

# %% [markdown]
# Real noise is not independent over dimensions, and two departures are to be expected:
#
# - A BERT encoder ends in a LayerNorm, which sets the mean over dimensions to zero before its learned gain and bias. So
#   the first order is nearly fixed by the *architecture*, for any training: expect it far below $\sigma/\sqrt d$.
# - Teachers differ in ways that many sentences share, such as how alike they find everything. Such noise does not
#   average out in a cosine: expect the second order above $\sqrt2\,\sigma$.
#
# Both make the ratio of the two standard deviations larger, and neither says anything about how useful a teacher is. So
# what is left of the observation? The column **noise / signal**: the spread over teachers in units of the spread over
# items. It has no unit, and it says what matters: how well does one teacher's value tell items apart? The last row
# takes out what a softmax never sees, the mean of a row: a teacher that finds everything a little more alike teaches
# nothing by it. What remains is what the student is taught.

# %%
print(f"A row's logits: noise is {centred.noise_to_signal:.2f} of the spread between pairs.")
print(f"One teacher temperature is 0.01; the noise of a centred logit is {centred.over_teachers / 0.01:.1f} of them,")
print(f"so a typical target is wrong by a factor of about exp({centred.over_teachers / 0.01:.1f}) in either direction.")

# %% [markdown]
# ## Pair, teacher, or the two together?
#
# One spread over teachers holds two things that a student meets differently. Write the logit of pair $p$ under teacher
# $m$ as
#
# $$t_{mp} = \mu + \underbrace{a_p}_{\text{pair}} + \underbrace{b_m}_{\text{teacher}}
#   + \underbrace{c_{mp}}_{\text{interaction}} .$$
#
# $b_m$ is a teacher's generosity to all pairs alike, which the softmax cannot see. $c_{mp}$ is its opinion of single
# pairs: noise to a student, and what averaging M teachers divides by M. $a_p$ is what all of them agree on: signal,
# and shared error. An analysis of variance on pairs without a common sentence gives unbiased estimates.
#
# **Predict first:** which of the three is the largest, and which the smallest?

# %%
parts = analysis.variance_parts(analysis.disjoint_pairs(cosines), seed=seed)
figure, ax = plots.new_axes(width=9, height=3)
plots.draw_components(ax, parts, len(teachers))
ax.set_title("Where the variance of a logit comes from, and what averaging leaves of it")
plots.show(figure, "02_components", figures, settings)
plots.component_frame(parts)

# %% [markdown]
# The interval of "teacher" is wide wherever teachers are few: M - 1 degrees of freedom. That of "interaction" rests on
# every pair. The intervals suppose normal effects, and speak of other seeds and other sentences of the same corpus.

# %% [markdown]
# ## Do teachers agree on the order of the largest logits?
#
# With $\tau_t = 0.01$ nearly all of a target's probability lies on the few largest logits of the row. The paper reports
# a Spearman correlation of 48.56% between teachers on the top 12 (16 teachers, 100 mini-batches). Ours: for each
# ordered pair of teachers, the 12 largest of the first one's row, ranked by both.
#
# **Predict first:** will the correlation over *all* logits of the row be lower, the same or higher?

# %%
tops = [k for k in (3, 6, 12, 24, 48) if k < batch_size - 1] + [batch_size - 1]
agreements = [analysis.top_agreement(cosines[:, :20], k) for k in tops]
figure, ax = plots.new_axes(width=7, height=4)
plots.draw_agreement(ax, agreements, TOP_AGREEMENT)
ax.set_title("Agreement of teachers on the largest logits (band: batches)")
plots.show(figure, "02_top_agreement", figures, settings)
print("; ".join(map(str, agreements)))

# %% [markdown]
# Caution: a correlation over a *selected* range is smaller than over the whole range even if the noise is the same
# everywhere, since the top 12 lie closer together than all 63. So a low value at k = 12 does not show that the top is
# noisier; it shows that noise matters more there, because the gaps are small and the probability is large. The next
# figure looks at noise and gap directly.
#
# ## Where in a row is the noise?

# %%
by_rank = analysis.spread_by_rank(cosines)
figure, ax = plots.new_axes(width=8, height=4)
plots.draw_spread_by_rank(ax, by_rank)
ax.set_title(f"Noise exceeds the gap to the next logit at {by_rank.unsettled:.0%} of the ranks")
plots.show(figure, "02_spread_by_rank", figures, settings)

# %% [markdown]
# Where the noise lies above the gap, the order of neighbours is not settled: another seed would rank them otherwise.
# That is the case that Group-P shuffling makes of it (notebook 03): an order that a teacher does not know need not be
# taught.
#
# Ranks here are those of the mean over the same teachers; with few teachers the very first are partly lucky ones.
#
# ## One batch as a picture
#
# The first 24 sentences of the first batch: the mean of all teachers, and their disagreement. Look for stripes in the
# right picture: a stripe is a sentence whose every pair is uncertain, so it is the *sentence* that teachers disagree
# on.

# %%
shown = cosines[:, 0, :24, :24]
figure, axes = plots.new_axes(1, 2, width=11, height=4.6)
plots.draw_heatmap(axes[0], shown.mean(axis=0), "mean cosine over teachers")
plots.draw_heatmap(axes[1], shown.std(axis=0, ddof=1), "std over teachers", colours="magma")
plots.show(figure, "02_heatmaps", figures, settings)

# %% [markdown]
# ## What averaging removes, and what it cannot
#
# Average the logits of $m$ teachers. With $a$ the covariance of two teachers' logits inside a row and $b$ the variance
# that a single teacher has beyond it,
#
# $$\operatorname{Var}_j\Big(\frac1m\sum_{k=1}^{m} t^{(k)}_{ij}\Big) = a + \frac{b}{m} .$$
#
# $b/m$ is noise of seeds and shrinks. $a$ is the floor: what all teachers share, which is the signal *and* every error
# that comes from their common base, data and method. No number of seeds removes a shared error.
#
# **Predict first:** from one teacher to two, which share of the noise goes? From eight to sixteen?

# %%
law = analysis.averaging_law(cosines, seed=seed)
figure, ax = plots.new_axes(width=8, height=4)
plots.draw_averaging_law(ax, law, marked=min(4, len(teachers)))
ax.set_title("What averaging removes, over all batches")
plots.show(figure, "02_averaging", figures, settings)

# %%
numbers = sorted({1, 2, 4, 8, 16, len(teachers)} & set(range(1, len(teachers) + 1)))
left = {f"M = {m}": {"noise left, b / M": law.noise / m, "share of the variance": law.noise_share(m)} for m in numbers}
print(f"Fitted: floor a = {law.floor:.3g}, noise b = {law.noise:.3g}")
pd.DataFrame(left).T.map("{:.3g}".format)

# %% [markdown]
# ## Look for yourself
#
# All of the above for one batch at a time, any teachers, and any pair of sentences:

# %%
shown = [[lab.corpus.sentences[row] for row in batch] for batch in rows[:5]]
explorer = explorers.TeacherVarianceExplorer(cosines[:, :5], shown, lab.profile.distillation.teacher_temperature)
explorer.show("02_explorer", figures, settings)

# %% [markdown]
# ## Summary
#
# - The first order is a mean over dimensions, the second a cosine; a good part of the difference in their standard
#   deviations is arithmetic. The honest measure is noise against signal, and the next cell says what it came to here.
# - What a student is taught are the differences inside a row, read at a temperature of 0.01: small noise there is
#   large.
# - Averaging M teachers removes noise as 1/M down to what all teachers share (notebook 04). Shuffling inside groups
#   keeps the student from learning an order that is not settled (notebook 03).
# - All of this describes *these* teachers, batches and pairs. Whether less noise makes a better student is a question
#   of its own: the notebooks that follow train students and answer with intervals over seeds.

# %%
print(f"Noise / signal: sentences {mean_order.noise_to_signal:.2f}, pairs {cosine.noise_to_signal:.2f}.")
noisier = "noisier" if cosine.noise_to_signal > mean_order.noise_to_signal else "not noisier"
print(f"In units of what tells them apart, pairs are {noisier} than sentences here ({len(teachers)} teachers).")
print(f"One teacher's logits: {law.noise_share(1):.0%} of the variance inside a row is noise of the seed;")
print(f"the mean of {len(teachers)}: {law.noise_share(len(teachers)):.0%}.")
