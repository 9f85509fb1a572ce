# %% [markdown]
# # 00 Start here
#
# **Goal.** Know what this laboratory is, what it works on, and how to read what it prints.
#
# **You will learn**
#
# - the idea of DistillCSE in one picture and three equations,
# - what the built-in sentences, pairs and encoder are, and what they are not,
# - how profiles, the data folder and the store work,
# - what an untrained encoder and mere word overlap score, which is where everything else starts from.
#
# **Time:** under a minute on every profile; nothing is trained here.

# %% [markdown]
# The next cell holds the notebook's parameters; every notebook of the course has the same ones. Change a value, then
# run all cells again. The course runner (`distillcse course`) sets them from its flags.

# %% tags=["parameters"]
profile: str = "smoke"  # smoke (minutes), laptop (40 minutes for the whole course) or paper (a GPU)
seed: int = 0  # of what the notebook draws at random
data_dir: str = ""  # folder with STS sets; empty: the built-in pairs
corpus: str = ""  # training sentences, a file or a hub name; empty: found in data_dir, or built in
base: str = ""  # encoder to start from; empty: the profile's
store: str = ""  # folder of everything computed; empty: DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; empty: only shown
sentence: str = "A woman is peeling potatoes in the kitchen."  # its neighbours are looked up; type your own

# %%
import numpy as np
import pandas as pd

from distillcse_kit.laboratory import Laboratory
from distillcse_kit.versions import versions

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
pd.set_option("display.max_colwidth", None)

# %% [markdown]
# What computed the results below, in case you want to compare them with somebody else's:

# %%
pd.Series(versions(), name="version").to_frame()

# %% [markdown]
# ## The idea in one picture
#
# A *sentence embedding* is a vector for a sentence, such that sentences that mean nearly the same lie close together.
# DistillCSE learns one without any labels, in two stages, and the second stage learns from the first:
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
# The student is no smaller than its teachers: this is distillation among equals. It does not save computation. It makes
# a better encoder, if the teacher's noise can be kept from being learned along with what the teacher knows. That *if*
# is what the laboratory is about.

# %% [markdown]
# ## The idea in three equations
#
# Let $h_i$ be the unit-length embedding of sentence $i$ in a batch of $N$, and $s_{ij} = h_i \cdot h_j$ a cosine.
#
# **1. A teacher contrasts** (SimCSE). $h_i^+$ is the same sentence under another dropout mask; all others are
# negatives:
#
# $$\ell_{cl} = -\frac1N \sum_i \log \frac{\exp(h_i \cdot h_i^+ / \tau)}{\sum_j \exp(h_i \cdot h_j^+ / \tau)}$$
#
# **2. A student imitates** how the teachers rank the other sentences of the batch, $j \ne i$:
#
# $$\ell_{distill} = -\frac1N \sum_i \sum_{j \ne i} q_{ij} \log p_{ij}, \qquad
# q_{i\cdot} = \mathrm{softmax}_{j \ne i}(t_{ij} / \tau_t), \quad p_{i\cdot} = \mathrm{softmax}_{j \ne i}(s_{ij} / \tau_s)$$
#
# **3. The targets are made less certain than one teacher is**: the mean over $M$ teachers, and logits permuted inside
# groups $G$ that share a slice $p$ of the probability, by a random permutation $\pi_G$:
#
# $$t_{ij} = \frac1M \sum_m \cos\left(h_i^{(m)}, h_j^{(m)}\right), \qquad t_{ij} \leftarrow t_{i\,\pi_G(j)} \ \text{ for } j \in G$$
#
# In the library these are `losses.contrastive_loss`, `losses.distillation_loss`, `teachers.TeacherEnsemble` and
# `shuffling.group_p_shuffle`, each with its equation and shapes in its docstring.

# %% [markdown]
# ## What you are working on
#
# This is what the parameters above selected:

# %%
settings = lab.describe()
about = settings | {"parameters": f"{lab.base.model.num_parameters():,}", "pooling": lab.profile.training.pooling}
pd.Series(about, name="this laboratory").to_frame()

# %% [markdown]
# Unless you named data of your own, three things that ship with the kit are in use. It matters to know what they are:
#
# | | is | is **not** |
# |---|---|---|
# | **corpus** | generated English sentences over everyday scenes: who does what to what, where, when, how. Seeded: always the same | natural text. Its style is narrow; what is learned from it says little about other text |
# | **built-in pairs** | two wordings of scenes; their similarity follows from how the scenes differ, by a rule | human judgement |
# | **kit pairs** | pairs written by hand on the 0 to 5 scale of STS, over many styles, and chosen so that a real encoder (MiniLM) reaches 80 | a benchmark: the scores are one annotator's, and the choice favours what MiniLM can do |
# | **micro encoder** | a BERT of 3 layers, pretrained for this kit on sentences of the English Wikipedia (appendix A) | BERT-base. It is dozens of times smaller; levels cannot be compared with papers, differences between methods can, with care |
#
# So the course runs offline in minutes, and each claim of the paper can be *tried*. For a statement about the method,
# run it on real text and real test sets (see below).
#
# Ten sentences that the teachers and students read:

# %%
draw = np.random.default_rng(seed)
chosen = draw.choice(len(lab.corpus), 10, replace=False)
pd.DataFrame({"training sentence": [lab.corpus.sentences[row] for row in chosen]})

# %% [markdown]
# ## Graded pairs
#
# An encoder is judged by pairs of sentences with a gold similarity: does the cosine *rank* the pairs as the gold does?
# **Predict first:** cover the left column and grade each pair from 0 (nothing in common) to 5 (the same meaning).

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
# The built-in pairs are built to mislead word overlap: one scene can be worded without a common content word, and two
# scenes that differ in who did what can look almost alike. The kit pairs below do the same in natural English.

# %%
ten_graded("kit")

# %% [markdown]
# ## What the base encoder believes before any training
#
# The base has learned to fill in blanks, never to compare sentences. **Predict first:** which sentences of the corpus
# will it put next to the sentence in the parameters cell: those with the same meaning, the same words, or the same
# shape?

# %%
candidates = [text for text in lab.corpus.sentences[:4000] if text != sentence]
vectors = lab.base.encode([sentence, *candidates], normalize_embeddings=True, show_progress_bar=False)
cosines = vectors[1:] @ vectors[0]
nearest = np.argsort(-cosines)[:8]
pd.DataFrame({"cosine": cosines[nearest].round(3), "nearest of the corpus": [candidates[row] for row in nearest]})

# %% [markdown]
# A cosine means little by itself. Compare the nearest with an average sentence:

# %%
print(f"Cosine with the nearest sentence: {cosines.max():.3f}")
print(f"Cosine with an average sentence:  {cosines.mean():.3f} (5% lie below {np.quantile(cosines, 0.05):.3f})")

# %% [markdown]
# If even an average sentence has a cosine far above 0, all embeddings point into one narrow cone. Notebook 01 measures
# that, and what contrastive training does to it.
#
# ## The score, and two lines to beat
#
# All scores of the course are **Spearman's rank correlation × 100** between cosines and gold, over all pairs of a set
# together. 100 is perfect ranking, 0 is chance. Two baselines need no training at all:
#
# - **tf-idf**: word overlap, weighted by rarity. A method that does not beat it has not shown that it understands
#   anything.
# - **the base encoder** with the pooling that the course trains.

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
        f"{task:<10} the untrained base lies {abs(untrained - words):.1f} {'above' if untrained > words else 'below'} tf-idf"
    )

# %% [markdown]
# Behind one such number stand pairs. Each dot is a pair; a good encoder gives a rising cloud.

# %%
from distillcse_kit.evaluation import pair_cosines

pairs = lab.tests[lab.headline]
figure, ax = new_axes(width=6, height=4)
draw_pair_scatter(ax, pair_cosines(lab.base, pairs), pairs.score, f"base on {lab.headline}")
show(figure, "00_base_scatter", figures, settings)

# %% [markdown]
# ## How the bench works
#
# **`Laboratory`** is what all notebooks call. Ask it for something, and it is loaded if it was computed before, and
# computed otherwise: `lab.teachers()`, `lab.students("distillcse")`, `lab.rounds()`, `lab.main_table()`.
#
# **The store** keeps all of it, under a key made of every setting and input. A changed setting is another key, so an
# old result can never pass for a new one; an interrupted run goes on where it was. It can be deleted at any time.
#
# **Profiles** decide how much is done. The smallest only shows that everything works: two seeds and a few steps decide
# nothing, and the notebooks will say so.

# %%
from distillcse_kit.config import PROFILES

columns = ("sentences", "teachers", "seeds", "minutes")
rows = {name: {column: getattr(item, column) for column in columns} for name, item in PROFILES.items()}
steps = {name: {"base": item.training.base, "steps a run": item.training.steps} for name, item in PROFILES.items()}
print(f"The store is {lab.store.root}")
pd.DataFrame(rows).T.join(pd.DataFrame(steps).T)

# %% [markdown]
# **Your own data.** Name a folder as `data_dir`: STS sets as SentEval has them (`STS12-en-test` and so on, or `sts12`),
# `stsb` for choosing checkpoints, and perhaps a text file of training sentences, one a line. The README says where to
# get each set. Then all notebooks speak of your data:
#
# ```text
# distillcse course --profile laptop --data-dir DATA --out runs/mine
# ```
#
# **How to read a result.** A score of one run is one draw: other seeds move unsupervised SimCSE by about 2 points. So
# every comparison is made over several seeds, with a 95% interval, and is put into words by one function that knows
# three verdicts only. Here it is on made-up numbers:

# %%
from distillcse_kit.evaluation import paired_difference, verdict

print(verdict(paired_difference([55.1, 55.9, 56.3, 55.0, 55.7], [53.8, 54.9, 54.1, 54.0, 54.6]), "Method A", "B"))
print(verdict(paired_difference([55.1, 53.2, 56.3, 54.0, 55.7], [53.8, 54.9, 54.1, 54.0, 54.6]), "Method C", "B"))
print(verdict(paired_difference([57.0], [53.8]), "Method D", "B"))

# %% [markdown]
# ## Summary
#
# - DistillCSE trains teachers by contrast, then a student of the same size on the teachers' cosines, after averaging
#   them over teachers and shuffling them inside groups.
# - The built-in data make the course run anywhere. They are generated or written by one hand, and the encoder is small:
#   trust differences with intervals, not levels.
# - Word overlap and the untrained base are the lines to beat; their scores stand in the table above.
#
# **Go on** with `01_contrastive_teacher`: how an encoder that only fills in blanks becomes a teacher.
