# %% [markdown]
# # 05 Full DistillCSE
#
# **Goal.** Train students in five ways, from plain distillation to DistillCSE, and find out what each part adds.
#
# **You will learn**
#
# - how the joint loss works, on a real batch,
# - why the teachers' embeddings are computed once, and what that saves,
# - how to compare methods seed by seed, and what such a comparison cannot say,
# - how to load a student in sentence-transformers.
#
# **Time:** less than a minute on smoke; about 8 minutes on laptop, the first time (five students for each of five
# methods).
#
# The parameters mean the same in every notebook. The cell after them opens the laboratory and lists its settings:

# %% tags=["parameters"]
profile: str = "smoke"  # amount of work: smoke (minutes), laptop (whole course: 40 minutes) or paper (needs a GPU)
seed: int = 0  # seed of this notebook's own random draws
data_dir: str = ""  # folder of STS sets; if empty, the built-in pairs
corpus: str = ""  # training sentences: a file or a hub name; if empty, from data_dir, or else built in
base: str = ""  # encoder to start from; if empty, the profile's own
store: str = ""  # folder for everything computed; if empty, DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; if empty, they are only shown
recompute: bool = False  # True: train the students of the sweeps here (minutes); False: show the shipped results
strong_teacher: str = ""  # folder or hub name of a model that teaches; if empty, the shipped results are shown

# %%
import numpy as np
import pandas as pd
import torch

from distillcse_kit.evaluation import paired_difference, seed_interval, verdict
from distillcse_kit.experiments.tables import table_8, table_9
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.curve_plots import draw_history
from distillcse_kit.plots.score_plots import draw_score_table, score_frame
from distillcse_kit.plots.style import new_axes, show
from distillcse_kit.plots.sweep_plots import show_sweep
from distillcse_kit.training.named_recipes import METHODS

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings, training, distillation = lab.describe(), lab.profile.training, lab.profile.distillation
pd.Series(settings, name="this laboratory").to_frame()

# %% [markdown]
# ## The joint loss
#
# Why learn from a teacher that is no larger than the student? The contrastive loss calls all other sentences of a batch
# equally wrong. A teacher has an opinion on *how* wrong each one is, and that graded opinion is the student's lesson.
# The student keeps the contrastive loss as well (Eq 3 of the paper):
#
# $$\ell = \ell_{cl} + \lambda\, \ell_{distill}, \qquad
#   \ell_{distill} = -\frac1N \sum_i \sum_{j \ne i} q_{ij} \log p_{ij}$$
#
# Here $N$ is the batch size. The targets $q = \mathrm{softmax}(t/\tau_t)$ come from the teachers' cosines, and the
# student's probabilities $p = \mathrm{softmax}(s/\tau_s)$ from its own. Both leave out $j = i$: a sentence is not its
# own neighbour.
#
# ### How the data flows
#
# ```text
# corpus --> M teachers --> unit embeddings of the whole corpus, float16, on disk      once per teacher
#                                    |
# a batch of N rows -----------------+--> M matrices of cosines --> mean --> shuffled --> q     every step
# the same N sentences --> student, in training mode --> cosines s --> p --> loss              every step
# ```

# %%
teachers = lab.teachers()
ensemble = lab.ensemble(teachers)
stored = lab.embeddings(teachers[0])
print(
    f"One teacher's embeddings: {stored.shape[0]:,} sentences x {stored.shape[1]}, {stored.dtype}, {stored.nbytes / 1e6:.1f} MB"
)
print(
    f"All {len(teachers)} teachers: {len(teachers) * stored.nbytes / 1e6:.1f} MB on disk, read {training.batch_size} rows at a time"
)

# %% [markdown]
# The teachers do not change while the student learns. They are also in evaluation mode, without dropout, so each gives
# a sentence the same embedding every time. That is why we compute it once.
#
# **Predict first:** for all students of this notebook, how many sentences would the teachers have to encode if they ran
# in every step?

# %%
once = len(teachers) * len(lab.corpus)
by_method = {name: len(lab.recipe(name).taught_by(training)) for name in METHODS}
every_step = sum(by_method.values()) * lab.profile.seeds * training.steps * training.batch_size
print(f"Once:       {len(teachers)} teachers x {len(lab.corpus):,} sentences = {once:,} encodings")
print(
    f"Every step: {every_step:,} encodings for {len(METHODS)} methods x {lab.profile.seeds} seeds, {every_step / once:.1f} times as many"
)

# %% [markdown]
# The saving grows with every new setting, because all settings use the same stored embeddings. But are these exact
# enough for a softmax at a temperature of 0.01? They are rounded to float16, and where the processor computes in
# bfloat16, the teacher ran in bfloat16 too. So we compare the stored cosines of a batch with fresh ones in float32.
# Both read the same tokens: sentences are cut where training cuts them.

# %%
from distillcse_kit.method.losses import distillation_loss, off_diagonal
from distillcse_kit.method.shuffling import group_p_shuffle

n = min(training.batch_size, len(lab.corpus))
rows = np.sort(np.random.default_rng(seed).choice(len(lab.corpus), n, replace=False))
sentences = [lab.corpus.sentences[row] for row in rows]
[fresh] = lab.batch_cosines(teachers[0], sentences, n)
one_teacher = lab.ensemble(teachers[:1]).cosines(rows)
error = off_diagonal(one_teacher - fresh.cpu()).abs().max().item()
print(
    f"Cosines differ by at most {error:.5f}; divided by the teacher temperature, that is {error / distillation.teacher_temperature:.2f}."
)

# %% [markdown]
# The second number is the one that counts. The softmax takes $e^{t/\tau_t}$, so this is the error of the exponent.
#
# ### One batch, four targets
#
# Let the *untrained* base be the student. The table shows its distillation loss against each kind of target. The
# cross-entropy is the sum of the two other columns. No student can get below the `target entropy`. The rest, the KL
# divergence, is what can be learned.

# %%
[student] = lab.batch_cosines(lab.base, sentences, n)
averaged = ensemble.cosines(rows)
generator = torch.Generator().manual_seed(seed)
targets = {
    "one teacher": one_teacher,
    "one teacher, Group-P": group_p_shuffle(one_teacher, distillation.p, generator=generator),
    f"mean of {len(teachers)} teachers": averaged,
    "both": group_p_shuffle(averaged, distillation.p, generator=generator),
}
temperatures = (distillation.student_temperature, distillation.teacher_temperature)
losses = {
    name: [distillation_loss(student, t, *temperatures, kind).item() for kind in ("cross_entropy", "kl")]
    for name, t in targets.items()
}
frame = pd.DataFrame(losses, index=["loss (cross-entropy)", "KL divergence"]).T
frame.insert(1, "target entropy", frame.iloc[:, 0] - frame.iloc[:, 1])
frame.round(3)

# %% [markdown]
# So you cannot compare the losses of different methods with each other, because their targets differ. Only scores on
# held-out pairs can compare the methods.
#
# ## Five kinds of student
#
# | method | teachers' logits | shuffled |
# |---|---|---|
# | vanilla distillation | one teacher: the student of seed $s$ learns from teacher $s$ | no |
# | + Group-P | one teacher | permuted inside groups, anew in every step |
# | + group mean | one teacher | in each group, the target probabilities (not the logits) replaced by their mean: what Group-P does *on average*, without its noise (not in the paper) |
# | + teacher components | mean of all $M$ teachers | no |
# | DistillCSE | mean of all $M$ teachers | permuted inside groups |
#
# All students start from the same base and see the same number of sentences. Students with the same seed also share the
# order of the sentences and the dropout.
#
# **Predict first:** which of the two remedies, shuffling or averaging, will do more here? Will their gains add up?
#
# First, watch one run, DistillCSE's student of seed 0. If the store already has it, you see its history instead.

# %%
from distillcse_kit.explorers import TrainingMonitor

first = lab.recipe("distillcse", seed=0)
monitor = TrainingMonitor("DistillCSE, seed 0", training.batch_size)
monitor.watch(lambda on_step: lab.run(first, on_step=on_step), "05_monitor", figures, settings)

# %% [markdown]
# A falling loss does not yet mean better embeddings; the dev score has to rise with it.
#
# Now we train the students of all methods, or load them if the store has them. The figure shows the teachers and the
# students over training: the dev score on the left and the distillation loss on the right. A line is the mean over
# seeds; its band reaches from the lowest seed to the highest.

# %%
students = {title: lab.students(name) for name, title in METHODS.items()}
histories = {"SimCSE teachers": [run.history for run in teachers]} | {
    name: [run.history for run in runs] for name, runs in students.items()
}

# %%
figure, (left, right) = new_axes(1, 2, width=11, height=4.4)
draw_history(left, histories, "dev")
draw_history(right, histories, "distillation")
left.set_title("dev score")
right.set_title("distillation loss, each against its own targets")
left.legend(fontsize=8)
right.legend(fontsize=8)
show(figure, "05_training", figures, settings)

# %% [markdown]
# Where the curves on the right lie apart, the main reason is the entropy of their targets (see the table above). What
# you can read there is the shape. If a loss goes on falling while the dev score on the left does not rise, the student
# is learning its teacher's noise.
#
# ## Scores
#
# Here are all scores: the mean over seeds ± half the width of the 95% interval. The figure then shows every seed as a
# dot, for dev and one test set; the dashed line is the mean of vanilla distillation.

# %%
table = {"base, no training": lab.scores([lab.base]), f"SimCSE teachers ({len(teachers)})": lab.scores(teachers)}
table |= {name: lab.scores(runs) for name, runs in students.items()}
score_frame(table)

# %%
figure, axes = new_axes(1, 2, width=13, height=4)
trained = {name: scores for name, scores in table.items() if name != "base, no training"}
for ax, task in zip(axes, ("dev", lab.headline), strict=True):
    draw_score_table(ax, {name: scores[task] for name, scores in trained.items()}, baseline="vanilla distillation")
    ax.set_title(f"{task}: {lab.profile.seeds} seeds for each method (base: {table['base, no training'][task][0]:.1f})")
show(figure, "05_scores", figures, settings)

# %% [markdown]
# ## Differences, seed by seed
#
# Some seeds are lucky and some are not. Two methods that share a seed share the order of the sentences, the dropout and
# part of this luck. So their *difference*, seed by seed, is steadier than the two means suggest. First, each method
# against plain distillation:

# %%
vanilla = table["vanilla distillation"]
for name in list(students)[1:]:
    for task in ("dev", *lab.tests):
        print(f"{task:<9}", verdict(paired_difference(table[name][task], vanilla[task]), name, "vanilla"))

# %% [markdown]
# Next, each student against the teacher of the same seed. For the one-teacher methods, that is the very teacher the
# student learned from. For the others, it is one of the $M$. Does the student do better than its teacher?

# %%
own = lab.scores(teachers[: lab.profile.seeds])
for name in students:
    for task in ("dev", *lab.tests):
        print(f"{task:<9}", verdict(paired_difference(table[name][task], own[task]), name, "its teacher"))

# %% [markdown]
# **What these intervals do not say.**
#
# - They are 95% intervals, and there are many of them: one in twenty excludes 0 by chance alone. So do not read much
#   into one narrow verdict among several undecided ones.
# - They cover other seeds, but not other corpora, encoders or test sets.
# - All students of an ensemble share the *same* $M$ teachers, so their interval does not cover other ensembles.
# - `dev` chose the checkpoints, so its scores are a little too high, for all methods alike.
#
# ## Who does a student agree with? (Table 8)
#
# Suppose a student copies its teacher's noise. Then it agrees much better with its own teacher than with the other
# teachers, and less with other students, because they have copied other noise. The paper's values on STS-B dev:
#
# | | gold | own teacher | other teachers | other students |
# |---|---|---|---|---|
# | not shuffled | 83.69 | 98.81 | 95.49 | 96.04 |
# | shuffled | 83.80 | 98.56 | 95.92 | 96.68 |
#
# **Predict first:** which of the four numbers should shuffling lower, and which should it raise? Here are ours. An
# agreement between two runs belongs to both of their seeds, so the intervals of the last two columns come from leaving
# out one seed after the other (the jackknife). Two seeds have one pair of students, and one number has no interval:

# %%
agree = table_8(lab)
pd.DataFrame(
    {row: {name: str(seed_interval(values)) for name, values in found.items()} for row, found in agree.items()}
).T

# %%
for column in ("own teacher", "other students"):
    difference = paired_difference(agree["shuffled"][column], agree["not shuffled"][column])
    print(verdict(difference, f"agreement with {column} under shuffling", "that without it"))

# %% [markdown]
# If shuffling keeps students from copying noise, they should agree less with their own teacher and more with each
# other. Here is the table on real data, as it ships with the kit, and then the change that shuffling makes, beside the
# paper's:

# %%
show_sweep(lab, "table8", figures, recompute)

# %%
from distillcse_kit.experiments.sweep_result import sweep_result
from distillcse_kit.experiments.sweeps import sweep_named

ours, theirs = sweep_result(lab, "table8", recompute).table, sweep_named("table8").published
for column, paper in theirs["shuffled"].items():
    change = paired_difference(ours["shuffled"][column], ours["not shuffled"][column])
    before = theirs["not shuffled"][column]
    print(f"{column:<15} here {change.mean:+.2f} ± {change.half_width:.2f}, the paper {paper - before:+.2f}")

# %% [markdown]
# Look at the second line. In the paper, the agreement with the own teacher *falls* under shuffling. If it rises here,
# the paper's reading does not explain our gain: our students then score higher and copy their teacher better at once.
#
# ## How much loss is left, on training sentences and on others? (Table 9)
#
# The paper's losses, train and test, are 1.3058 and 6.5503 for vanilla distillation, 2.8715 and 6.4410 for Group-P, and
# 3.1377 and 6.2712 with averaging as well. It does not say what its test batches were, nor whether it took shuffled
# losses against shuffled targets. So we measure each case by itself:
#
# - on sentences that the student has read, on sentences of the same corpus that it has not read, and on sentences of
#   the dev pairs, which are of another kind;
# - as cross-entropy against the teacher's own targets, as cross-entropy against shuffled targets, and as KL. KL leaves
#   out the entropy of the targets, so it can be compared between teachers.
#
# The table shows this laboratory's values in nats, as means over seeds:

# %%
left = table_9(lab)
pd.DataFrame({row: {column: np.mean(values) for column, values in found.items()} for row, found in left.items()}).round(
    3
)

# %% [markdown]
# **Predict first:** if a student memorises its teacher's noise, which two rows of this table must lie far apart? Here
# is the table on real data, as it ships with the kit:

# %%
show_sweep(lab, "table9", figures, recompute)

# %% [markdown]
# ## Over training (Figure 2)
#
# The next figure shows the same losses while the students train. The read and the unread batches are of one kind, so a
# gap between them is what the student has memorised. Shuffled targets are drawn anew each time, so the student cannot
# memorise *their* order.

# %%
show_sweep(lab, "figure2", figures, recompute)

# %% [markdown]
# Compare the two gaps in the left panel. If shuffling keeps a student from memorising, its gap is the smaller one.
#
# ## Do lambda and the temperatures matter? (Tables 6 and 7)
#
# In the paper, lambda hardly matters (83.43 to 83.48 on STS-B dev). Its nine pairs of temperatures give averages from
# 76.37 to 77.13. Its table does not make clear which axis is the student's, so we do not draw those numbers beside
# ours. The first sweep is over lambda, the second over the two temperatures:

# %%
show_sweep(lab, "table6-lambda", figures, recompute)

# %%
show_sweep(lab, "table7", figures, recompute)

# %% [markdown]
# ## Turn one knob
#
# Here are the sweeps again, as one table that you can turn. It holds students on real data, five seeds each, and has
# six knobs: $p$, $\tau_s$, $\tau_t$, $\lambda$, $M$ and the pooling. Choose a knob, and every row is compared with the
# chosen one, seed by seed, on dev. Why not on test? If you turn knobs until one of them wins on a test set, it is no
# longer a test set. The sweeps of the temperatures and of lambda were made without shuffling, so move p to "not
# shuffled" to see them.
#
# **Predict first:** for which knob will five seeds show a difference that is more than chance?

# %%
from distillcse_kit.experiments.ablation import Ablation, shipped_results
from distillcse_kit.explorers import AblationExplorer

AblationExplorer(shipped_results(), scored_on="STS-B dev").show("05_sweeps", figures, settings)

# %% [markdown]
# The next explorer shows the students in your own store, no matter what trained them. If a setting is missing, you can
# train it from here. Training runs in the background, so you can go on turning knobs.

# %%
ablation = Ablation(lab)
explorer = AblationExplorer(ablation.stored(), ablation.usual, ablation.train, ablation.seeds, ablation.choices)
explorer.show("05_ablation", figures, settings)

# %% [markdown]
# ## A strong teacher
#
# So far, teacher and student were equals. What if the teacher is much better? Any model of sentence-transformers can
# teach: it reads the corpus in its own word pieces, and only its cosines count, so its vectors may be of another width.
# The kit has a recipe for this. It differs from plain distillation in these settings:

# %%
plain, recipe = (
    one["training"] | one["distillation"]
    for one in (lab.recipe(name).settings() for name in ("vanilla", "strong_teacher"))
)
pd.DataFrame(
    {
        name: {"plain distillation": plain[name], "strong teacher": recipe[name]}
        for name in plain
        if plain[name] != recipe[name]
    }
)

# %% [markdown]
# **Predict first:** the teacher's score is far above the student's. How much of the difference will the student learn?
# And will Group-P help here as well?
#
# The teacher of the shipped results is all-MiniLM-L6-v2. It has six layers and has learned from a billion pairs of
# sentences. To train students of another model here, name it in the parameter `strong_teacher`.

# %%
show_sweep(lab, "strong-teacher", figures, recompute=bool(strong_teacher), teacher=strong_teacher or None)
if not strong_teacher:
    print("One command trains such students: distillcse distill --preset strong-teacher --teachers MODEL")

# %% [markdown]
# A student of three layers keeps little of what a large model knows, but more than SimCSE alone gives it. The recipe
# was chosen on dev, with other seeds than these. The next table has that search: each row is one setting, as flags of
# `distillcse distill`, and an empty cell was not tried. Compare the rows with Group-P with those without it.

# %%
from distillcse_kit.experiments.shipped import STRONG_TEACHER_SEARCH, shipped_run

search = shipped_run(STRONG_TEACHER_SEARCH).table
scores = pd.DataFrame({row: {seed: found[0] for seed, found in by_seed.items()} for row, by_seed in search.items()})
scores.T.round(2).fillna("")

# %% [markdown]
# With both seeds, the student with Group-P scores lower. Group-P is a remedy for a teacher's noise, and a strong teacher
# may have too little of it for the remedy to pay.
#
# ## Take a student with you
#
# The folder of a run is a model folder. It holds the weights (safetensors), the tokenizer and a note of the pooling.
# Without that note, sentence-transformers would fall back on the mean of the tokens, which is wrong for a [CLS] model.
# The next cell lists the files. The one after it loads the folder in sentence-transformers and checks that the
# embeddings are the same.

# %%
run = students["DistillCSE"][0]
print(run.folder)
pd.DataFrame([{"file": path.name, "kB": round(path.stat().st_size / 1e3, 1)} for path in sorted(run.folder.iterdir())])

# %%
from importlib.util import find_spec

if find_spec("sentence_transformers") is None:
    print("sentence-transformers is not installed; get it with: pip install 'distillcse-kit[integrations]'")
else:
    from sentence_transformers import SentenceTransformer
    from transformers import logging

    logging.set_verbosity_error()  # else a warning says that BERT's own pooler is missing, which nothing here uses
    theirs = SentenceTransformer(str(run.folder), device="cpu").encode(sentences, show_progress_bar=False)
    ours = run.encoder().to("cpu").encode(sentences, show_progress_bar=False)
    np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-5)
    print(f"sentence-transformers gives the same {len(ours)} embeddings, up to {np.abs(theirs - ours).max():.1e}.")

# %% [markdown]
# ## Summary
#
# - The student contrasts and imitates at the same time; its targets exclude the sentence itself.
# - The teachers are fixed, so their embeddings are stored, and no further setting needs another pass of a teacher.
# - You cannot compare distillation losses that have different targets. You can compare scores, seed by seed.
# - The verdicts above say which part helped *here*, on this data and this profile, and no more than that.
# - A student is a folder that other libraries can load.
#
# **Go on** with `06_self_training_rounds`, where the student becomes a teacher.
