# %% [markdown]
# # 01 A teacher by contrast
#
# **Goal.** Train SimCSE teachers, and see what contrast changes in the space of embeddings.
#
# **You will learn**
#
# - why dropout alone is a good enough augmentation for sentences,
# - InfoNCE, line by line, and what its temperature does,
# - how the training loss reads as information,
# - alignment, uniformity and the narrow cone of an untrained [CLS] vector,
# - why the training head is thrown away, and how much the choice of pooling is worth.
#
# **Time:** about half a minute on smoke; about 7 minutes on laptop, the first time (16 teachers, which all later
# notebooks share).

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
# ## Why contrast?
#
# We want vectors that are close exactly when meanings are. Without labels, nobody says which sentences mean the same.
# But one pair is certain: **a sentence means the same as itself**. And nearly as certain: two sentences drawn at random
# do *not* mean the same. Pull the first kind together, push the second apart; that is contrastive learning.
#
# A sentence and itself have the same vector, so there is nothing to pull, unless something disturbs it. In images one
# crops and recolours. Words are fragile: drop a "not" and the meaning turns. SimCSE's answer is to disturb the
# *encoder* instead: **dropout** switches off a random tenth of its activations. Pass a sentence through twice, under
# two dropout masks, and you have two *views* of one meaning.
#
# **Predict first:** for the untrained base, in training mode: will two views of one sentence be clearly closer to each
# other than two different sentences are?

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
print(f"Different sentences closer than the median of the same-sentence pairs: {100 * overlap:.1f}%")

# %% [markdown]
# ## InfoNCE, line by line
#
# Take a batch of $N$ sentences in two views, $a_i$ and $b_i$. For row $i$ ask a question with $N$ answers: *which of
# the $b_j$ is my own other view?* Turn cosines into probabilities and pay the negative logarithm of the right one:
#
# $$\ell_{cl} = -\frac1N \sum_i \log \frac{\exp(\cos(a_i, b_i)/\tau)}{\sum_j \exp(\cos(a_i, b_j)/\tau)}$$
#
# On a batch of four, each line of code beside its part of the equation:

# %%
from distillcse_kit.method.losses import contrastive_loss

a, b = torch.from_numpy(first[:4]), torch.from_numpy(second[:4])  # unit vectors [4, d]
tau = training.temperature
logits = (a @ b.T) / tau  # cos(a_i, b_j) / tau, [4, 4]
answers = logits.exp() / logits.exp().sum(dim=1, keepdim=True)  # one row is one question, and sums to 1
by_hand = -answers.diagonal().log().mean()  # the right answer of row i stands in column i
print(answers.numpy().round(3))
print(f"by hand {by_hand:.4f}, library {contrastive_loss(a, b, tau):.4f}, guessing among four would be {np.log(4):.4f}")

# %% [markdown]
# ## What the temperature does
#
# The gradient pushes row $i$ away from its negatives in proportion to their probabilities. A low $\tau$ makes the
# softmax sharp, so nearly all of the push goes to the few negatives that are *closest* already; a high $\tau$ pushes
# all alike.
#
# **Predict first:** at $\tau = 0.05$, which share of the push do the 5 closest of the negatives get?

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
# Sharp is not simply better. The closest "negative" may in truth mean the same, and then a sharp loss pushes away
# exactly what it should not. The paper, as SimCSE before it, takes 0.05.
#
# ## Training the teachers
#
# Each teacher starts from the base and sees the same sentences, in another order, with other dropout and another head:
# only its *seed* differs. The dev pairs are scored now and then, and the best checkpoint is kept. The first teacher can
# be watched while it trains (one that the store has already shows its history):

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
# **The right panel** reads the loss as information. Recognising the other view among $N$ gives a lower bound on the
# mutual information of the two views:
#
# $$I(h; h^+) \ge \ln N - \mathbb E\,[\ell_{cl}]$$
#
# The bound can never exceed $\ln N$: a question with $N$ answers cannot show more. So a batch that is answered
# perfectly says little about how *good* the vectors are, only that the views are told apart. Compare the panels: if the
# bound has reached its ceiling, it can tell nothing more about the dev score, which is why checkpoints are chosen by
# dev pairs. (The loss is measured in training, with dropout and head, as a mean since the last point.)

# %%
last, ceiling = (
    [np.log(training.batch_size) - run.history[-1]["contrastive"] for run in teachers],
    np.log(training.batch_size),
)
print(f"Last point: bound {np.mean(last):.2f} of at most {ceiling:.2f} nats ({100 * np.mean(last) / ceiling:.0f}%).")

# %% [markdown]
# ## Alignment, uniformity, and the narrow cone
#
# Two numbers describe a space of unit vectors (Wang and Isola, 2020); lower is better for both:
#
# $$\ell_{align} = \mathbb E_{(x, x^+)} \lVert f(x) - f(x^+) \rVert^2, \qquad
#   \ell_{uniform} = \log \mathbb E_{x \ne y}\, e^{-2 \lVert f(x) - f(y) \rVert^2}$$
#
# **Alignment**: pairs that mean the same (gold at least 4) should be close. **Uniformity**: everything else should be
# spread out. Either alone is trivial: one single point is perfectly aligned, random vectors are perfectly uniform. A
# third number is the plain **mean cosine** of different sentences: near 1, all vectors lie in one narrow cone
# (*anisotropy*).
#
# **Predict first:** contrastive training pushes different sentences apart. Will pairs of the same meaning stay as close
# as they were?

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
# The two pull against each other: what spreads everything out also moves pairs of the same meaning apart, unless the
# encoder tells them from the rest. So neither number alone says whether an encoder got better. What counts is the
# *order* of the pairs, and only a score against gold can judge that.
#
# ## Are the teachers better than the base?

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
# The base has no seed, so the interval is that of the teachers' mean. It speaks of other *seeds*, with this corpus and
# these pairs; the dev row was used to choose the checkpoints and is therefore a little too friendly.
#
# ## The head is dropped: why?
#
# During training the [CLS] state goes through a Linear layer and a tanh before the loss; at evaluation this *head* is
# gone, and the state below it is the embedding. The loss wants views to be recognised, and the head can afford to throw
# away whatever does not serve that, meaning included; the state below stays richer. It is also the most common user
# error: by SimCSE's own discussion (issue 100 of its repository), scoring an unsupervised model *with* its head costs
# about 20 points. The kit does not even store it: a run's folder holds the encoder alone.
#
# ## What pooling is worth
#
# The [CLS] state is one way to make a vector of a sentence; averages over its tokens are others. The base was never
# trained on either. **Predict first:** which of the five poolers does the untrained base do best with? Does it beat the
# teachers?

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
# `cls` and `cls_before_pooler` agree here by definition: they differ in training only, where the first has the head.
# The course trains with [CLS] as the paper does. On a small encoder the mean over tokens may well be a stronger start;
# look at the verdict above before you compare anything with "the base".
#
# ## Summary
#
# - Two dropout masks make two views of a sentence; InfoNCE asks to recognise one's own other view among $N$.
# - The temperature decides how much of the push goes to the closest negatives.
# - $\ln N - \ell_{cl}$ bounds the information shared by the views; it has a ceiling and does not choose checkpoints.
# - What training did to the cone, to alignment and to the scores is in the sentences computed above, with intervals.
# - Teachers that differ in the seed alone differ in their scores. How much they differ on single *pairs* is the subject
#   of `02_teacher_logit_variance`.
