# %% [markdown]
# # 01 A teacher by contrast
#
# **Goal.** Train SimCSE teachers, and see how contrast changes the space of embeddings.
#
# **You will learn**
#
# - why dropout alone is enough to make two views of a sentence,
# - how InfoNCE works, line by line, and what its temperature does,
# - how to read the training loss as information,
# - what alignment and uniformity are, and what the narrow cone of an untrained [CLS] vector is,
# - why the training head is thrown away, and how much the choice of pooling matters.
#
# **Time:** about half a minute on smoke. About 7 minutes on laptop the first time: it trains 16 teachers, which all
# later notebooks use again.

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
import torch

from distillcse_kit.evaluation import paired_difference, seed_interval, verdict
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.curve_plots import draw_history, draw_information_bound
from distillcse_kit.plots.score_plots import draw_score_table, score_frame
from distillcse_kit.plots.style import new_axes, show

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings, training = lab.describe(), lab.profile.training
pd.Series(settings, name="this laboratory").to_frame()

# %% [markdown]
# The table shows what this notebook works with.
#
# ## Why contrast?
#
# We want vectors that are close exactly when the meanings are close. Nobody has labelled which sentences mean the same.
# But one thing is certain: **a sentence means the same as itself**. Another is nearly certain: two sentences drawn at
# random do *not* mean the same. Contrastive learning pulls the first kind of pair together and pushes the second kind
# apart.
#
# There is a catch. A sentence and itself have the same vector, so there is nothing to pull together unless something
# disturbs it. An image can be cropped or recoloured. Words are fragile: drop a "not" and the meaning turns around.
# SimCSE disturbs the *encoder* instead. **Dropout** switches off a random tenth of its activations. Pass a sentence
# through the encoder twice, under two dropout masks, and you have two *views* of one meaning.
#
# **Predict first:** take the untrained base, in training mode. Will two views of one sentence be clearly closer to each
# other than two different sentences are?
#
# The next figure shows a batch of sentences in two views. On the left are the cosines of 12 of them. Each cell on the
# diagonal compares a sentence with itself. On the right are the cosines of all pairs of the batch.

# %%
from distillcse_kit.evaluation.geometry import dropout_views

rows = np.random.default_rng(seed).choice(len(lab.corpus), min(training.batch_size, len(lab.corpus)), replace=False)
sentences = [lab.corpus.sentences[row] for row in rows]
first, second = dropout_views(lab.base, sentences, seed)
cosines = first @ second.T
same = np.eye(len(cosines), dtype=bool)

# %%
figure, (left, right) = new_axes(1, 2, width=10, height=3.6)
image = left.imshow(cosines[:12, :12], cmap="viridis", vmin=cosines.min(), vmax=1)
left.set(
    title="cosines of two dropout views, 12 sentences", xlabel="view b of sentence j", ylabel="view a of sentence i"
)
left.grid(visible=False)
figure.colorbar(image, ax=left)
bins = np.linspace(cosines.min(), 1, 40).tolist()
right.hist(cosines[~same], bins, density=True, alpha=0.6, label="different sentences")
right.hist(cosines[same], bins, density=True, alpha=0.6, hatch="//", label="same sentence, other mask")
right.set(title=f"all pairs of a batch of {len(cosines)}", xlabel="cosine", ylabel="density")
right.legend()
show(figure, "01_dropout_views", figures, settings)

# %%
overlap = (cosines[~same] > np.median(cosines[same])).mean()
print(f"Mean cosine, same sentence under two masks: {cosines[same].mean():.3f}")
print(f"Mean cosine, different sentences:           {cosines[~same].mean():.3f}")
print(f"Pairs of different sentences closer than the median same-sentence pair: {100 * overlap:.1f}%")

# %% [markdown]
# The less the two histograms overlap, the easier it is to recognise a sentence under another mask. Contrastive training
# asks the encoder to do just that.
#
# ## InfoNCE, line by line
#
# Take a batch of $N$ sentences in two views, $a_i$ and $b_i$. Each row $i$ is a question with $N$ possible answers:
# *which of the $b_j$ is my own other view?* Turn the cosines into probabilities, and take the negative logarithm of the
# right one as the loss:
#
# $$\ell_{cl} = -\frac1N \sum_i \log \frac{\exp(\cos(a_i, b_i)/\tau)}{\sum_j \exp(\cos(a_i, b_j)/\tau)}$$
#
# Here it is on a batch of four sentences, line by line. The printed matrix holds the probabilities:

# %%
from distillcse_kit.method.losses import contrastive_loss

a, b = torch.from_numpy(first[:4]), torch.from_numpy(second[:4])  # unit vectors [4, d]
tau = training.temperature
logits = (a @ b.T) / tau  # cos(a_i, b_j) / tau, [4, 4]
answers = logits.exp() / logits.exp().sum(dim=1, keepdim=True)  # each row is one question and sums to 1
by_hand = -answers.diagonal().log().mean()  # the right answer of row i is in column i
print(answers.numpy().round(3))
print(f"by hand {by_hand:.4f}, library {contrastive_loss(a, b, tau):.4f}, a blind guess among four {np.log(4):.4f}")

# %% [markdown]
# Each row sums to 1, and the right answers are on the diagonal. The loss by hand equals the library's.
#
# ## What the temperature does
#
# The gradient pushes row $i$ away from each negative in proportion to that negative's probability. A low $\tau$ makes
# the softmax sharp, so nearly all of the push goes to the few negatives that are already *closest*. A high $\tau$
# pushes all of them about equally.
#
# **Predict first:** at $\tau = 0.05$, what share of the push do the 5 closest negatives get?
#
# The figure shows the share of each negative, from the closest to the farthest, at four temperatures:

# %%
negatives = torch.from_numpy(np.sort(cosines[~same].reshape(len(cosines), -1), axis=1)[:, ::-1].copy())
shares = {tau: torch.softmax(negatives / tau, dim=1).mean(dim=0).numpy() for tau in (0.01, 0.05, 0.2, 1.0)}
figure, ax = new_axes(width=7, height=3.6)
for (tau, share), line in zip(shares.items(), ("-", "--", "-.", ":"), strict=True):
    ax.plot(
        range(1, len(share) + 1), share, line, label=f"temperature {tau}: 5 closest get {100 * share[:5].sum():.0f}%"
    )
ax.set(xlabel="rank of the negative, 1 = closest", ylabel="share of the push, mean over rows", yscale="log")
ax.set_title("How the temperature shares out the push among the negatives")
ax.legend()
show(figure, "01_temperature", figures, settings)

# %% [markdown]
# The legend gives the answer. But sharper is not simply better. The closest "negative" may really mean the same, and
# then a sharp loss pushes away exactly what it should keep. The paper takes 0.05, as SimCSE did before it.
#
# ## Training the teachers
#
# Each teacher starts from the base encoder and reads the same sentences. Only its *seed* is its own: the seed sets the
# order of the sentences, the dropout masks and the training head. The dev pairs are scored at regular steps, and the
# best checkpoint is kept.
#
# You can watch the first teacher train. If it is already in the store, you see its history instead. After it come the
# other teachers, and a figure of how all of them learned:

# %%
from distillcse_kit.explorers import TrainingMonitor

monitor = TrainingMonitor("teacher of seed 0", training.batch_size)
monitor.watch(lambda on_step: lab.teacher(0, on_step), "01_monitor", figures, settings)

# %%
teachers = lab.teachers()
histories = {f"SimCSE teachers ({len(teachers)})": [run.history for run in teachers]}
best = seed_interval([run.scores["dev"] for run in teachers])
print(
    f"{len(teachers)} teachers, best dev score of each: mean {best}, standard deviation {best.standard_deviation:.2f}."
)

# %%
figure, (left, right) = new_axes(1, 2, width=10, height=3.8)
draw_history(left, histories, "dev")
left.axhline(lab.score(lab.base, "dev"), color="black", linestyle=":", label="base")
left.legend(title="mean; band: lowest to highest seed", title_fontsize=8)
draw_information_bound(right, histories, training.batch_size)
show(figure, "01_teacher_training", figures, settings)

# %% [markdown]
# **The left panel** shows the dev score of all teachers during training; the dotted line is the base. **The right
# panel** reads the loss as information. If you can recognise the other view among $N$, the two views must share
# information. The loss gives a lower bound on their mutual information:
#
# $$I(h; h^+) \ge \ln N - \mathbb E\,[\ell_{cl}]$$
#
# The bound can never exceed $\ln N$, because a question with $N$ answers cannot show more. So even a batch with every
# answer right says little about how *good* the vectors are. It only says that the views can be told apart. Compare the
# two panels. Once the bound has reached its ceiling, it can say nothing more about the dev score. That is why
# checkpoints are chosen by dev pairs.
#
# (The loss is measured during training, with dropout and head, as a mean since the previous point.)

# %%
last, ceiling = (
    [np.log(training.batch_size) - run.history[-1]["contrastive"] for run in teachers],
    np.log(training.batch_size),
)
print(f"Last point: bound {np.mean(last):.2f} of at most {ceiling:.2f} nats ({100 * np.mean(last) / ceiling:.0f}%).")

# %% [markdown]
# ## Alignment, uniformity, and the narrow cone
#
# Two numbers describe a space of unit vectors (Wang and Isola, 2020). For both, lower is better:
#
# $$\ell_{align} = \mathbb E_{(x, x^+)} \lVert f(x) - f(x^+) \rVert^2, \qquad
#   \ell_{uniform} = \log \mathbb E_{x \ne y}\, e^{-2 \lVert f(x) - f(y) \rVert^2}$$
#
# - **Alignment**: pairs that mean the same (gold score of at least 4) should be close.
# - **Uniformity**: everything else should be spread out.
#
# Each is easy to reach alone. If all vectors are one single point, alignment is perfect. If vectors are random,
# uniformity is perfect. A third number is simply the **mean cosine** of different sentences. If it is near 1, all
# vectors lie in one narrow cone (*anisotropy*).
#
# **Predict first:** contrastive training pushes different sentences apart. Will pairs with the same meaning stay as
# close as they were?
#
# The table and the figure compare the base with the teachers. Each dot is one encoder:

# %%
from distillcse_kit.evaluation.geometry import measure_geometry

spaces = {"base": [measure_geometry(lab.base, lab.dev)]}
spaces["SimCSE teachers"] = [measure_geometry(run.encoder(), lab.dev) for run in teachers]
names = ("alignment", "uniformity", "mean_cosine")
frame = score_frame(
    {label: {name: [getattr(space, name) for space in found] for name in names} for label, found in spaces.items()}
)
print(f"{spaces['base'][0].positives} positive pairs, {spaces['base'][0].sentences} sentences of the dev pairs")
frame

# %%
figure, ax = new_axes(width=5.5, height=4)
for (label, found), mark in zip(spaces.items(), ("s", "o"), strict=True):
    ax.plot([space.uniformity for space in found], [space.alignment for space in found], mark, label=label, alpha=0.7)
ax.set(
    xlabel="uniformity (left: more spread)",
    ylabel="alignment (down: closer pairs)",
    title="The space before and after contrast",
)
ax.margins(0.15)
ax.legend()
show(figure, "01_alignment_uniformity", figures, settings)

# %%
for name in names:
    before = getattr(spaces["base"][0], name)
    change = paired_difference([getattr(space, name) for space in spaces["SimCSE teachers"]], [before] * len(teachers))
    print(verdict(change, f"{name} of the teachers", "the base's"))

# %% [markdown]
# The sentences above say which of the three numbers changed. Alignment and uniformity pull against each other. Whatever
# spreads everything out also moves pairs of the same meaning apart, unless the encoder can tell those pairs from the
# rest. So neither number alone says whether an encoder got better. What counts is the *order* of the pairs, and only a
# score against gold can judge that.
#
# ## Are the teachers better than the base?
#
# The table gives the scores of tf-idf, the base and the teachers. The sentences below it compare the teachers with the
# base on each set:

# %%
table = {"base, no training": lab.scores([lab.base]), f"SimCSE teachers ({len(teachers)})": lab.scores(teachers)}
score_frame({"tf-idf word overlap": {task: [score] for task, score in lab.tfidf().items()}} | table)

# %%
untrained, trained = table.values()
for task in untrained:
    print(
        f"{task:<10}", verdict(paired_difference(trained[task], untrained[task] * len(teachers)), "SimCSE", "the base")
    )

# %% [markdown]
# The base has no seed, so the interval is that of the teachers' mean. It covers other *seeds*, with this corpus and
# these pairs. The dev scores are a little too high, because the dev pairs were used to choose the checkpoints.
#
# ## Why is the head dropped?
#
# During training, the [CLS] state passes through a linear layer and a tanh before it reaches the loss. At evaluation
# this *head* is gone, and the state below it is the embedding. The loss only asks that views are recognised. The head
# can afford to throw away everything that does not help with that, including meaning. The state below the head stays
# richer.
#
# Keeping the head is also the most common user error. According to SimCSE's own discussion (issue 100 of its
# repository), scoring an unsupervised model *with* its head costs about 20 points. The kit does not even store the
# head: the folder of a run holds the encoder alone.
#
# ## How much does pooling matter?
#
# The [CLS] state is one way to turn a sentence into a vector. Another way is to average over its tokens. The base was
# trained for neither. **Predict first:** which of the five poolers works best for the untrained base? Does it beat the
# teachers?
#
# The figure and the table show all five, and the teachers below them:

# %%
from distillcse_kit.config import POOLINGS
from distillcse_kit.encoder.sentence_encoder import SentenceEncoder

pooled = {name: lab.scores([SentenceEncoder.load(training.base, name)]) for name in POOLINGS}
pooled[f"SimCSE teachers, {training.pooling}"] = trained
figure, ax = new_axes(width=8, height=3.4)
draw_score_table(ax, {name: scores[lab.headline] for name, scores in pooled.items()}, baseline=training.pooling)
ax.set_title(f"The untrained base under five poolers, {lab.headline}")
show(figure, "01_pooling", figures, settings)
score_frame(pooled)

# %%
headline = {name: pooled[name][lab.headline][0] for name in POOLINGS}
top = max(headline, key=lambda name: headline[name])
print(
    f"On {lab.headline} the base's best pooler is {top} ({headline[top]:.2f}); {training.pooling} has {headline[training.pooling]:.2f}."
)
print(
    verdict(paired_difference(trained[lab.headline], [headline[top]] * len(teachers)), "SimCSE", f"the base with {top}")
)

# %% [markdown]
# `cls` and `cls_before_pooler` give the same numbers here, by definition. They differ only in training, where the first
# one has the head. The course trains with [CLS], as the paper does. On a small encoder the mean over tokens may well be
# a stronger start. Look at the verdict above before you compare anything with "the base".
#
# ## Summary
#
# - Two dropout masks make two views of a sentence. InfoNCE asks each view to find its own other view among $N$.
# - The temperature decides how much of the push goes to the closest negatives.
# - $\ln N - \ell_{cl}$ is a lower bound on the information that the views share. It has a ceiling, and it is no guide
#   for choosing checkpoints.
# - The sentences computed above say, with intervals, what training did to the cone, to alignment and uniformity, and to
#   the scores.
# - Teachers that differ only in their seed differ in their scores. How much they differ on single *pairs* is the
#   subject of `02_teacher_logit_variance`.
