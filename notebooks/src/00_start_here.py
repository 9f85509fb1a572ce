# %% [markdown]
# # 00 Start here
#
# **Goal.** Know what this laboratory is for, what data it uses, and how to read what it prints.
#
# **You will learn**
#
# - the idea of DistillCSE, in one picture and three equations,
# - what the built-in sentences, pairs and encoder are, and what they are not,
# - how profiles, the data folder and the store work,
# - what an untrained encoder scores, and what plain word overlap scores. Everything else is measured against these two.
#
# **Time:** under a minute on every profile. Nothing is trained here.

# %% [markdown]
# The next cell holds the notebook's parameters. All but the last are the same in every notebook of the course. Change a
# value, then run all cells again. The command `distillcse course` runs all notebooks and sets these values from its
# flags.

# %% tags=["parameters"]
profile: str = "smoke"  # amount of work: smoke (minutes), laptop (whole course: 40 minutes) or paper (needs a GPU)
seed: int = 0  # seed of this notebook's own random draws
data_dir: str = ""  # folder of STS sets; if empty, the built-in pairs
corpus: str = ""  # training sentences: a file or a hub name; if empty, from data_dir, or else built in
base: str = ""  # encoder to start from; if empty, the profile's own
store: str = ""  # folder for everything computed; if empty, DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; if empty, they are only shown
sentence: str = "A woman is peeling potatoes in the kitchen."  # we look up its neighbours; type your own

# %%
import numpy as np
import pandas as pd

from distillcse_kit.laboratory import Laboratory
from distillcse_kit.versions import versions

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
pd.set_option("display.max_colwidth", None)

# %% [markdown]
# The table lists the software versions behind the results below. You need them if you compare your results with
# somebody else's.

# %%
pd.Series(versions(), name="version").to_frame()

# %% [markdown]
# ## The idea in one picture
#
# A *sentence embedding* is a vector that stands for a sentence. Sentences that mean nearly the same should have vectors
# that lie close together. DistillCSE learns such vectors without any labels. It works in two stages, and the second
# stage learns from the first:
#
# ```text
#              stage 1: contrast                          stage 2: distil
#
#              +-> SimCSE teacher, seed 0 --+
#              |                            |    cosines of all pairs      shuffled inside
#  sentences --+-> SimCSE teacher, seed 1 --+--> of a batch, averaged ---> groups (Group-P) ---> targets
#              |          ...               |    over the teachers                                  |
#              +-> SimCSE teacher, seed M --+                                                       v
#  sentences -----------------------------------------------------------------------> student: starts from the
#                                                                                     same base encoder, afresh
# ```
#
# The student is as large as its teachers, so distillation does not save any computing here. The aim is a better
# encoder. That works only if the student learns what its teacher knows without learning its teacher's noise as well.
# Whether it can is the question of this laboratory.

# %% [markdown]
# ## The idea in three equations
#
# Take a batch of $N$ sentences. Let $h_i$ be the embedding of sentence $i$, scaled to length 1. The cosine of two
# sentences is then a dot product, $h_i \cdot h_j$.
#
# **1. A teacher learns by contrast** (SimCSE, Eq 1 of the paper). $h_i^+$ is the same sentence under another dropout
# mask. All other sentences are negatives:
#
# $$\ell_{cl} = -\frac1N \sum_i \log \frac{\exp(h_i \cdot h_i^+ / \tau)}{\sum_j \exp(h_i \cdot h_j^+ / \tau)}$$
#
# **2. A student imitates its teachers** (Eq 2, as a mean over rows, as in the authors' code). For each sentence $i$,
# the teachers say how close every other sentence $j \ne i$ of the batch is, and the student learns to say the same. The
# teachers' cosine of sentences $i$ and $j$ is $t_{ij}$, and the student's is $s_{ij}$:
#
# $$\ell_{distill} = -\frac1N \sum_i \sum_{j \ne i} q_{ij} \log p_{ij}, \qquad
# q_{i\cdot} = \mathrm{softmax}_{j \ne i}(t_{ij} / \tau_t), \quad p_{i\cdot} = \mathrm{softmax}_{j \ne i}(s_{ij} / \tau_s)$$
#
# The student's whole loss is $\ell_{cl} + \lambda\, \ell_{distill}$ (Eq 3), with $\lambda = 1$ unless a notebook says
# otherwise.
#
# **3. The targets are made less certain than those of a single teacher** (Eq 5 to 7). First, the cosines are averaged
# over $M$ teachers. Second, each row is cut into groups that each hold a share $p$ of the probability, and a random
# permutation $\pi_G$ shuffles the logits inside each group $G$:
#
# $$t_{ij} = \frac1M \sum_m \cos\left(h_i^{(m)}, h_j^{(m)}\right), \qquad t_{ij} \leftarrow t_{i\,\pi_G(j)} \ \text{ for } j \in G$$
#
# The library offers all of this after `import distillcse_kit as dk`: `dk.contrastive_loss`, `dk.distillation_loss`,
# `dk.TeacherEnsemble` and `dk.group_p_shuffle`. Each docstring gives the equation and the tensor shapes.
#
# All notebooks use one notation (docs/glossary.md has the full list):
#
# | symbol | meaning |
# |---|---|
# | $N$, $M$, $d$ | sentences in a batch, number of teachers, width of an embedding |
# | $h_i$ | unit embedding of sentence $i$ |
# | $s_{ij}$, $t_{ij}$ | cosine of sentences $i$ and $j$: the student's, the teacher's |
# | $\tau$, $\tau_s$, $\tau_t$ | temperature of the contrastive loss, of the student, of the teacher |
# | $q_{ij}$, $p_{ij}$ | targets (from the teacher) and the student's probabilities. A $p$ without indices is Group-P's share of the probability |
# | $\lambda$ | weight of the distillation loss |
#
# A *logit* is a cosine before it is divided by a temperature. *Teacher components* is the paper's name for averaging
# teachers (Eq 7).

# %% [markdown]
# ## What you are working with
#
# The parameters above selected the following data and encoder:

# %%
settings = lab.describe()
about = settings | {"parameters": f"{lab.base.model.num_parameters():,}", "pooling": lab.profile.training.pooling}
pd.Series(about, name="this laboratory").to_frame()

# %% [markdown]
# If you did not name any data or encoder of your own, you are using what ships with the kit. It matters to know what
# that is:
#
# | | is | is **not** |
# |---|---|---|
# | **corpus** | generated English sentences about everyday scenes: who does what to what, where, when and how. It has a fixed seed, so it is always the same | natural text. Its style is narrow, so results on it say little about other text |
# | **built-in pairs** | two descriptions of scenes. A rule computes their similarity from how the scenes differ | human judgement |
# | **kit pairs** | pairs written by hand on the 0 to 5 scale of STS, in many styles. They were chosen so that a real encoder (MiniLM) reaches 80 | a benchmark. One annotator gave the scores, and the choice favours what MiniLM can do |
# | **micro encoder** | a BERT of 3 layers, pretrained for this kit on sentences of the English Wikipedia (appendix A) | BERT-base. It is dozens of times smaller. Do not compare its scores with those in papers; differences between methods can be compared, with care |
#
# So the course runs offline in minutes, and you can *try* each claim of the paper. To make a statement about the method
# itself, use real text and real test sets (see "Your own data" below).
#
# Here are ten of the sentences that teachers and students read:

# %%
draw = np.random.default_rng(seed)
chosen = draw.choice(len(lab.corpus), 10, replace=False)
pd.DataFrame({"training sentence": [lab.corpus.sentences[row] for row in chosen]})

# %% [markdown]
# ## Graded pairs
#
# We judge an encoder by pairs of sentences that have a gold similarity. The question is whether the encoder's cosines
# *rank* the pairs as the gold scores do. The table shows ten pairs. **Predict first:** cover the gold column and grade
# each pair yourself, from 0 (nothing in common) to 5 (the same meaning).

# %%
from distillcse_kit.data.sts import load_sts


def ten_graded(task: str) -> pd.DataFrame:
    """Ten pairs of a set, spread evenly over its gold scores, highest first."""
    pairs = load_sts(task)
    order = np.argsort(np.add(pairs.score, draw.uniform(0, 1e-6, len(pairs))))  # ties in random order
    rows = order[np.linspace(0, len(order) - 1, 10).round().astype(int)][::-1]
    columns = {"gold": pairs.score, "first": pairs.first, "second": pairs.second}
    return pd.DataFrame({name: [column[row] for row in rows] for name, column in columns.items()}).round(1)


ten_graded("builtin")

# %% [markdown]
# The built-in pairs are made to mislead word overlap. Two descriptions of one scene may share no content word. Two
# scenes that differ in who did what may look almost alike. The kit pairs below do the same in natural English.

# %%
ten_graded("kit")

# %% [markdown]
# ## What the base encoder knows before any training
#
# The base encoder has learned to fill in blanks. It has never learned to compare sentences. **Predict first:** take the
# sentence from the parameters cell. Which sentences of the corpus will the base put closest to it: those with the same
# meaning, the same words, or the same grammatical form?

# %%
candidates = [text for text in lab.corpus.sentences[:4000] if text != sentence]
vectors = lab.base.encode([sentence, *candidates], normalize_embeddings=True, show_progress_bar=False)
cosines = vectors[1:] @ vectors[0]
nearest = np.argsort(-cosines)[:8]
pd.DataFrame({"cosine": cosines[nearest].round(3), "nearest in the corpus": [candidates[row] for row in nearest]})

# %% [markdown]
# Did you expect these neighbours? A cosine means little by itself, so compare the closest sentence with the mean over
# all sentences that were tried:

# %%
print(f"Cosine with the nearest sentence: {cosines.max():.3f}")
print(f"Mean cosine with all sentences:   {cosines.mean():.3f} (5% are below {np.quantile(cosines, 0.05):.3f})")

# %% [markdown]
# If even the mean cosine is far above 0, all embeddings point into one narrow cone. Notebook 01 measures this cone, and
# shows what contrastive training does to it.
#
# ## The score, and two baselines to beat
#
# Every score of the course is **Spearman's rank correlation × 100** between cosines and gold scores, over all pairs of
# a set together. A perfect ranking gives 100, a random one gives about 0. Two baselines need no training at all:
#
# - **tf-idf**: word overlap, weighted by how rare each word is. A method that scores lower may still know things that
#   no word shows. But its score is not the proof, because counting words would give a better one.
# - **the base encoder**, with the same pooling that the course trains.
#
# The table gives both scores on every set, and the lines below it say which is higher:

# %%
from distillcse_kit.plots.score_plots import draw_pair_scatter, score_frame
from distillcse_kit.plots.style import new_axes, show

table = {"tf-idf word overlap": {task: [score] for task, score in lab.tfidf().items()}}
table["base, no training"] = lab.scores([lab.base])
score_frame(table)

# %%
for task in table["base, no training"]:
    words, untrained = (table[row][task][0] for row in table)
    print(
        f"{task:<10} the untrained base is {abs(untrained - words):.1f} {'above' if untrained > words else 'below'} tf-idf"
    )

# %% [markdown]
# Behind each of these numbers is a set of pairs. In the next figure every dot is a pair. A good encoder gives a rising
# cloud:

# %%
from distillcse_kit.evaluation import pair_cosines

pairs = lab.tests[lab.headline]
figure, ax = new_axes(width=6, height=4)
draw_pair_scatter(ax, pair_cosines(lab.base, pairs), pairs.score, f"base on {lab.headline}")
show(figure, "00_base_scatter", figures, settings)

# %% [markdown]
# The flatter the cloud, the lower the score. Look at the pairs with a low gold score and a high cosine: the base takes
# them for similar, and they are not.
#
# ## How the laboratory works
#
# **`Laboratory`** is what all notebooks call. Ask it for something. If it was computed before, it is loaded; if not, it
# is computed now. Examples are `lab.teachers()`, `lab.students(...)`, `lab.rounds()` and `lab.main_table()`.
#
# **The store** keeps everything that was computed. Each result has a key made from all settings and inputs. If you
# change a setting, the key changes too, so you never get an old result for new settings. An interrupted run continues
# where it stopped. You may delete the store at any time.
#
# **Profiles** set how much is computed. The smallest profile only shows that everything works. Two seeds and a few
# steps decide nothing, and the notebooks will say so. The table compares the profiles; `minutes` is the expected time
# for the whole course on two cores (for `paper`: on a GPU):

# %%
from distillcse_kit.config import PROFILES

columns = ("sentences", "teachers", "seeds", "minutes")
rows = {name: {column: getattr(item, column) for column in columns} for name, item in PROFILES.items()}
steps = {name: {"base": item.training.base, "steps a run": item.training.steps} for name, item in PROFILES.items()}
print(f"The store is {lab.store.root}")
pd.DataFrame(rows).T.join(pd.DataFrame(steps).T)

# %% [markdown]
# **Your own data.** Name a folder as `data_dir`. It holds STS sets in the layout of SentEval (folders such as
# `STS12-en-test`, or `sts12`), `stsb` for choosing checkpoints, and optionally a text file of training sentences, one a
# line. The docs page on data (docs/data.md) says where to get each set. All notebooks then use your data:
#
# ```text
# distillcse course --profile laptop --data-dir DATA --out runs/mine
# ```
#
# **How to read a result.** The score of one run is one random draw. Other seeds change the score of unsupervised SimCSE
# by about 2 points. So the notebooks compare methods over several seeds and give a 95% interval. One function puts each
# comparison into words. It has three verdicts: above, below, and not decided. Here it is on made-up numbers:

# %%
from distillcse_kit.evaluation import paired_difference, verdict

print(verdict(paired_difference([55.1, 55.9, 56.3, 55.0, 55.7], [53.8, 54.9, 54.1, 54.0, 54.6]), "Method A", "B"))
print(verdict(paired_difference([55.1, 53.2, 56.3, 54.0, 55.7], [53.8, 54.9, 54.1, 54.0, 54.6]), "Method C", "B"))
print(verdict(paired_difference([57.0], [53.8]), "Method D", "B"))

# %% [markdown]
# The interval of A lies above 0, so A scores higher than B. The interval of C contains 0, so these seeds do not decide.
# D has one seed only, and one seed never decides anything.
#
# ## Summary
#
# - DistillCSE first trains teachers by contrast. It then trains a student of the same size on the teachers' cosines,
#   averaged over the teachers and shuffled inside groups.
# - The built-in data let the course run anywhere. They are generated, or written by one person, and the encoder is
#   small. Trust differences that come with an interval, not the level of a score.
# - Word overlap and the untrained base are the baselines to beat. Their scores are in the table above.
#
# **Next:** `01_contrastive_teacher` shows how an encoder that can only fill in blanks becomes a teacher.
