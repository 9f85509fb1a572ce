# %% [markdown]
# # 02 Teacher logit variance
#
# **Goal.** Test, on your own teachers, the observation that DistillCSE starts from. According to the paper, two
# teachers that differ only in their seed agree far better on single *sentences* than on *pairs* of sentences. And pairs
# are what a student learns from.
#
# **You will learn**
#
# - what "first order" and "second order" mean, and why the second is noisier in absolute terms,
# - how training batches differ from test pairs (Figure 1 and Table 1 of the paper),
# - how much teachers disagree, and where in a row of logits (Table 2),
# - what averaging M teachers removes, and what it cannot remove.
#
# **Time:** less than half a minute on smoke and a few minutes on laptop, once the teachers of notebook 01 are trained.

# %% [markdown]
# The next cell holds the parameters, the same in every notebook:

# %% tags=["parameters"]
profile: str = "smoke"  # amount of work: smoke (minutes), laptop (whole course: 40 minutes) or paper (needs a GPU)
seed: int = 0  # seed of this notebook's own random draws
data_dir: str = ""  # folder of STS sets; if empty, the built-in pairs
corpus: str = ""  # training sentences: a file or a hub name; if empty, from data_dir, or else built in
base: str = ""  # encoder to start from; if empty, the profile's own
store: str = ""  # folder for everything computed; if empty, DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; if empty, they are only shown

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
# The teachers are SimCSE runs that differ only in their seed. The seed sets the order of the sentences, the dropout
# masks and the training head. (If an earlier notebook has trained the teachers, they are loaded.)
#
# Each teacher has embedded the whole corpus once, and the embeddings are stored. From them we take the same random
# mini-batches for every teacher. The result is an array `[M, B, N, d]`: M teachers, B batches, N sentences in a batch,
# and width d.

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
# The first belongs to one sentence, the second to a pair. Distillation uses the second: for a sentence $i$, the
# teacher's logits are its cosines $t_{ij}$ with all other sentences of the batch. We call them a *row*.
#
# ### Figure 1 and Table 1: training batches and test pairs
#
# **Predict first:** compare the random sentences of a batch with the pairs of an STS set. Which of the two quantities
# will look alike in both places, and which will not? In which direction will it differ?
#
# The figure shows all values of both quantities, sorted from the largest. The table below it gives means, standard
# deviations and KL:

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
# In each panel, compare the two lines: the further apart they are, the more test pairs differ from training batches.
# This is what the paper reports, with BERT-base and STS-B dev:
#
# | | training | test | KL |
# |---|---|---|---|
# | 1st order | -7.43e-4 ± 5.25e-5 | -7.29e-4 ± 4.61e-5 | 0.0037 |
# | 2nd order | 0.267 ± 0.064 | 0.696 ± 0.181 | 3.8794 |
#
# Read both tables with care:
#
# - **A test set is chosen, a batch is drawn at random.** The pairs of an STS set were picked so that many of them are
#   similar. Two random sentences rarely are. So part of the gap comes from how such sets are made. It would be there
#   even for a perfect encoder.
# - **A standard deviation has a unit.** To compare 5e-5 with 0.06 is to compare different scales. The columns
#   `std / |mean|` do not depend on the scale. (By this measure, the paper's own numbers for training are 7% and 24%.)
# - **KL needs an estimator.** The paper does not name one, and its 3.8794 is not what the Gaussian formula gives for
#   the means and standard deviations that it prints. (That gives 3.41, or 24.9 in the other direction.) We show two
#   estimators, both for KL(training ‖ test). One uses histograms of 50 equal bins over the joint range, with half a
#   count added to each bin. The other is the formula for two Gaussians.

# %%
sentence, pair = orders
print(f"Sentences: the means of training and test are {sentence.gap:.1f} training standard deviations apart.")
print(f"Pairs:     the means of training and test are {pair.gap:.1f} training standard deviations apart.")
apart = "Pairs" if pair.gap > sentence.gap else "Sentences"
print(f"{apart} differ more between training and test, for this teacher and these data.")

# %% [markdown]
# ## Table 2: how much do teachers disagree?
#
# Now we look at the same sentences under all M teachers. **Predict first:** suppose the noise in one dimension of an
# embedding has standard deviation $\sigma$. How large is then the noise of a mean over $d$ dimensions? And the noise of
# a cosine?
#
# The figure and the table show how much each quantity varies over teachers. *Noise / signal* divides this spread by the
# spread over items, that is, over sentences or pairs:

# %%
spreads = analysis.teacher_spread(vectors)
figure, ax = plots.new_axes(width=9, height=3)
plots.draw_noise_to_signal(ax, spreads)
ax.set_title("Spread over teachers, relative to the spread over sentences or pairs")
plots.show(figure, "02_noise_to_signal", figures, settings)
plots.spread_frame(spreads)

# %% [markdown]
# The shorter the bar, the better a single teacher tells the items apart. Compare the two upper bars (sentences) with
# the two lower ones (pairs).
#
# The next figure sets Tables 1 and 2 beside the paper's, as coefficients of variation (standard deviation / |mean|).
# Only a ratio like this can compare quantities of different scale, or encoders of different width. On the left: one
# teacher, over sentences or pairs. On the right: over teachers.

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
# The mean over dimensions may be close to 0 for our encoder. A ratio to that mean then says nothing, so check its size
# in the first table.
#
# The paper reports these values over 16 teachers: std 2.177e-5 (1st order) and 0.0406 (2nd order), with differential
# entropies -9.3160 and -1.7853. The ratio of the two standard deviations is nearly 2,000. Two remarks before you
# believe it:
#
# - The entropy is exactly $\tfrac12\ln(2\pi e\,\sigma^2)$. It repeats the standard deviation and adds nothing.
# - Much of the ratio is arithmetic. Suppose the noise $\delta_i$ of an embedding were independent over dimensions, with
#   standard deviation $\sigma$. Then
#
# $$\operatorname{sd}(\mu_i) = \frac{\sigma}{\sqrt d}, \qquad
#   t_{ij} + \delta t_{ij} \approx h_i^\top h_j + h_j^\top\delta_i + h_i^\top\delta_j
#   \;\Rightarrow\; \operatorname{sd}(t_{ij}) = \sqrt{2}\,\sigma .$$
#
# A mean averages the noise away. A cosine of unit vectors collects the noise of *both* sentences. That alone gives a
# factor of $\sqrt{2d}$. The next table compares this prediction with what was measured:

# %%
mean_order, dimension, cosine, centred = spreads
width, sigma = vectors.shape[-1], dimension.over_teachers
measured = [mean_order.over_teachers, cosine.over_teachers, cosine.over_teachers / mean_order.over_teachers]
predicted = [sigma / np.sqrt(width), np.sqrt(2) * sigma, np.sqrt(2 * width)]
index = ["sd of the 1st order", "sd of the 2nd order", "ratio"]
pd.DataFrame({"measured": measured, "if noise were independent": predicted}, index=index).map("{:.3g}".format)

# %% [markdown]
# Real noise is not independent over dimensions. Expect two departures from the prediction:
#
# - A BERT encoder ends in a LayerNorm, which sets the mean over dimensions to zero before it applies its learned gain
#   and bias. So the *architecture* nearly fixes the first order, however the encoder was trained. Expect it to vary far
#   less than $\sigma/\sqrt d$.
# - Teachers differ in ways that many sentences share. For example, one teacher finds all sentences more alike than
#   another does. Such noise does not average out in a cosine. Expect the second order to vary more than
#   $\sqrt2\,\sigma$.
#
# Both departures make the ratio of the two standard deviations larger. Neither says anything about how useful a teacher
# is. So what is left of the observation? Look again at the column **noise / signal** above: the spread over teachers in
# units of the spread over items. It has no unit, and it answers the question that matters: how well does one teacher's
# value tell items apart?
#
# The last row of that table takes out the mean of each row of logits, which a softmax never sees. If a teacher finds
# everything a little more alike, it teaches nothing by that. What remains is what the student is taught:

# %%
print(f"Logits less their row's mean: the noise is {centred.noise_to_signal:.2f} times the spread between pairs.")
print(f"That noise is {centred.over_teachers / 0.01:.1f} times the teacher's temperature of 0.01,")
print(f"so a typical target is wrong by a factor of about exp({centred.over_teachers / 0.01:.1f}) in either direction.")

# %% [markdown]
# ## Pair, teacher, or both together?
#
# The spread over teachers mixes two things that affect a student differently. Write the logit of pair $k$ under teacher
# $m$ as a sum:
#
# $$t_{mk} = \mu + \underbrace{a_k}_{\text{pair}} + \underbrace{b_m}_{\text{teacher}}
#   + \underbrace{c_{mk}}_{\text{interaction}} .$$
#
# - $a_k$ is what all teachers agree on for this pair: the signal, and the errors that all teachers share.
# - $b_m$ raises or lowers all pairs alike under one teacher. The softmax cannot see it.
# - $c_{mk}$ is one teacher's own opinion of one pair. To a student it is noise. Averaging M teachers divides its
#   variance by M.
#
# An analysis of variance estimates the size of each part (its *variance components*, not to be confused with the
# paper's "teacher components", which means averaging teachers). It uses pairs that have no sentence in common, and its
# estimates are unbiased.
#
# **Predict first:** which of the three is the largest, and which the smallest?
#
# The figure gives each part for one teacher, and below it what is left in the mean of all teachers. The table gives the
# numbers for one teacher:

# %%
parts = analysis.variance_parts(analysis.disjoint_pairs(cosines), seed=seed)
figure, ax = plots.new_axes(width=9, height=3)
plots.draw_variance_parts(ax, parts, len(teachers))
ax.set_title("Where the variance of a logit comes from, and what is left after averaging")
plots.show(figure, "02_components", figures, settings)
plots.variance_parts_frame(parts)

# %% [markdown]
# Look at the interaction first. It is the noise that a student learns from a single teacher, and averaging shrinks it.
# The pair part does not shrink.
#
# The interval of "teacher" is wide if there are few teachers: it has only M - 1 degrees of freedom. The interval of
# "interaction" uses every pair, so it is narrow. All intervals assume normally distributed effects. They cover other
# seeds and other sentences of the same corpus.

# %% [markdown]
# ## Do teachers agree on the order of the largest logits?
#
# With $\tau_t = 0.01$, nearly all of a target's probability lies on the few largest logits of the row. The paper
# reports a Spearman correlation of 48.56% between teachers on the top 12 (16 teachers, 100 mini-batches). We measure it
# like this: for each ordered pair of teachers, take the 12 largest logits of the first teacher's row, and correlate how
# both teachers rank them.
#
# **Predict first:** take *all* logits of the row instead of the top 12. Will the correlation be lower, the same or
# higher?
#
# The figure shows the correlation for several values of k, the number of logits compared:

# %%
tops = [k for k in (3, 6, 12, 24, 48) if k < batch_size - 1] + [batch_size - 1]
agreements = [analysis.top_agreement(cosines[:, :20], k) for k in tops]
figure, ax = plots.new_axes(width=7, height=4)
plots.draw_agreement(ax, agreements, TOP_AGREEMENT)
ax.set_title("Agreement of teachers on the largest logits (band: lowest to highest batch)")
plots.show(figure, "02_top_agreement", figures, settings)
print("; ".join(map(str, agreements)))

# %% [markdown]
# Caution: a correlation over a *selected* range is smaller than over the whole range, even if the noise is the same
# everywhere. The top 12 lie closer together than all the logits of a row. So a low value at k = 12 does not show that
# the top is noisier. It shows that noise matters more there, because the gaps are small and the probability is large.
# The next figure looks at noise and gaps directly.
#
# ## Where in a row is the noise?
#
# For each rank in the row, the figure shows the noise (the spread over teachers) and the gap to the next logit:

# %%
by_rank = analysis.spread_by_rank(cosines)
figure, ax = plots.new_axes(width=8, height=4)
plots.draw_spread_by_rank(ax, by_rank)
ax.set_title(f"Noise exceeds the gap to the next logit at {by_rank.unsettled:.0%} of the ranks")
plots.show(figure, "02_spread_by_rank", figures, settings)

# %% [markdown]
# Where the noise is larger than the gap, the order of the neighbours is not settled: another seed would rank them
# differently. This is the argument for Group-P shuffling (notebook 03): if a teacher does not know an order, the
# student need not learn it.
#
# Ranks here are ranks in the mean over the same teachers. If there are few teachers, the very first ranks are partly
# due to luck.
#
# ## One batch as a picture
#
# The figure shows the first 24 sentences of the first batch. On the left is the mean of all teachers, on the right
# their disagreement. Look for stripes on the right. A stripe is a sentence whose pairs are all uncertain, so what the
# teachers disagree on is the *sentence*:

# %%
shown = cosines[:, 0, :24, :24]
figure, axes = plots.new_axes(1, 2, width=11, height=4.6)
plots.draw_heatmap(axes[0], shown.mean(axis=0), "mean cosine over teachers")
plots.draw_heatmap(axes[1], shown.std(axis=0, ddof=1), "std over teachers", colours="magma")
plots.show(figure, "02_heatmaps", figures, settings)

# %% [markdown]
# If there are stripes, part of the noise in pairs comes from single sentences. Cells that are bright on their own are
# noise of the pair.
#
# ## What averaging removes, and what it cannot remove
#
# Average the logits of $m$ teachers. Let $a$ be the covariance of two teachers' logits inside a row, and $b$ the extra
# variance of a single teacher. Then
#
# $$\operatorname{Var}_j\Big(\frac1m\sum_{k=1}^{m} t^{(k)}_{ij}\Big) = a + \frac{b}{m} .$$
#
# The part $b/m$ is noise of the seeds, and it shrinks. The part $a$ is a floor. It is what all teachers share: the
# signal, *and* every error that comes from their common base, data and method. No number of seeds removes a shared
# error.
#
# **Predict first:** what share of the noise goes away from one teacher to two? And from eight to sixteen?
#
# The figure shows the variance in the mean of M teachers, measured (dots) and fitted (line). The table gives the noise
# that is left:

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
# Each doubling of M halves the noise that is left, so the first few teachers remove the most. The floor stays.
#
# ## Look for yourself
#
# The explorer shows all of the above for one batch at a time. Choose any teachers and any pair of sentences:

# %%
shown = [[lab.corpus.sentences[row] for row in batch] for batch in rows[:5]]
explorer = explorers.TeacherVarianceExplorer(cosines[:, :5], shown, lab.profile.distillation.teacher_temperature)
explorer.show("02_explorer", figures, settings)

# %% [markdown]
# ## Summary
#
# - The first order is a mean over dimensions, the second a cosine. A good part of the difference in their standard
#   deviations is arithmetic. The fair measure is noise / signal, and the next cell prints its values.
# - A student learns the differences inside a row, read at a temperature of 0.01. At that temperature, small noise is
#   large.
# - Averaging M teachers shrinks the noise as 1/M, down to what all teachers share (notebook 04). Shuffling inside
#   groups keeps the student from learning an order that is not settled (notebook 03).
# - All of this describes *these* teachers, batches and pairs. Whether less noise makes a better student is another
#   question. The next notebooks train students and answer it with intervals over seeds.

# %%
print(f"Noise / signal: sentences {mean_order.noise_to_signal:.2f}, pairs {cosine.noise_to_signal:.2f}.")
noisier = "noisier" if cosine.noise_to_signal > mean_order.noise_to_signal else "not noisier"
print(f"By this measure, pairs are {noisier} than sentences here ({len(teachers)} teachers).")
print(f"In one teacher's logits, {law.noise_share(1):.0%} of the variance inside a row is noise of the seed.")
print(f"In the mean of {len(teachers)} teachers, it is {law.noise_share(len(teachers)):.0%}.")
