# %% [markdown]
# # 07 Evaluate and compare
#
# **Goal.** Score everything by one protocol, and set it beside the paper without fooling anybody.
#
# **You will learn**
#
# - the evaluation protocol of this field, and the traps that make numbers impossible to compare,
# - how all methods of the course score, with intervals and verdicts,
# - how our numbers relate to the paper's, once the difference in scale is stated,
# - where DistillCSE stands among other systems.
#
# **Time:** seconds once the other notebooks have run, because the store then has everything; otherwise as long as all
# their training takes.
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

# %%
from pathlib import Path

import numpy as np
import pandas as pd

from distillcse_kit.evaluation import PAPER_TASKS, paired_difference, seed_interval, verdict
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.score_plots import draw_pair_scatter, draw_score_table, score_frame
from distillcse_kit.plots.style import new_axes, show

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings = lab.describe()
pd.Series(settings, name="this laboratory").to_frame()

# %% [markdown]
# ## The protocol
#
# You can compare two numbers only if all of these are the same. The kit follows SimCSE and the papers after it:
#
# - **One Spearman correlation for each task, over all its pairs together.** STS12 to STS16 consist of subsets, and
#   their pairs are put together first. The mean of the subsets' correlations is a different number.
# - **Cosine of the [CLS] state, below the training head.** The whole sentence is read, not cut at the training length.
# - **Checkpoints are chosen on STS-B dev**, never on a test set.
# - **The average** is the plain mean over seven tasks: STS12 to STS16, STS-B test and SICK-R test.
#
# These are the traps:
#
# | trap | effect |
# |---|---|
# | the head is kept at evaluation | an unsupervised model loses about 20 points (SimCSE, issue 100) |
# | SICK-R from `mteb` | 9,927 pairs (train, dev and test) instead of 4,927, so another average |
# | mean pooling for a [CLS] model, or the reverse | another model |
# | STS15 and STS16: blank lines in the gold files | these pairs have no score; they must be skipped in both files |
# | one seed | seeds alone move unsupervised SimCSE by about 2 points |
# | the best of several seeds, chosen on test | a fiction |
#
# In code the protocol is short. Encoder $f$ scores the pair $(x_k, y_k)$, whose gold score is $g_k$:
#
# $$\mathrm{score} = 100 \cdot \rho_{\mathrm{Spearman}}\big(\cos(f(x_k), f(y_k)),\ g_k\big), \quad k \text{ over all pairs of the task}$$

# %%
from distillcse_kit.evaluation import pair_cosines, spearman

pairs = lab.tests[lab.headline]
teacher = lab.teachers()[0]
print(f"{spearman(pair_cosines(teacher.encoder(), pairs), pairs.score):.2f} on {lab.headline}, {len(pairs)} pairs")
print(f"{lab.score(teacher):.2f} is the score in the store")

# %% [markdown]
# Spearman looks only at the order, so a cosine does not need to have the size of its gold score. The next figure shows
# what a score looks like, pair by pair. It compares the base, a teacher, and a student of the same seed:

# %%
student = lab.students("distillcse")[0]
shown = {"base, no training": lab.base, "SimCSE teacher": teacher.encoder(), "DistillCSE": student.encoder()}
figure, axes = new_axes(1, 3, width=14, height=3.8)
for ax, (label, encoder) in zip(axes, shown.items(), strict=True):
    draw_pair_scatter(ax, pair_cosines(encoder, pairs), pairs.score, label)
show(figure, "07_scatter", figures, settings)

# %% [markdown]
# The better the score, the better the order of the dots from left to right agrees with their order from bottom to top.
#
# A score is a mean over pairs that somebody else wrote. Type some sentences of your own: which encoder finds those
# alike that mean the same? Their neighbours come from a sample of the training sentences. If these are the built-in
# ones, the sample covers six topics.

# %%
from collections import Counter

from distillcse_kit.data.builtin.generator import builtin_topics
from distillcse_kit.encoder.ensemble_encoder import EnsembleEncoder
from distillcse_kit.explorers import EmbeddingExplorer

sample, topics = lab.corpus.sentences[:2000], None
if not (lab.real or corpus):
    all_topics = builtin_topics(len(sample))
    common = [name for name, _ in Counter(all_topics).most_common(6)]
    sample = [text for text, topic in zip(sample, all_topics, strict=True) if topic in common]
    topics = [topic for topic in all_topics if topic in common]
sample, topics = sample[:240], topics and topics[:240]
raw = EnsembleEncoder([run.encoder() for run in lab.teachers()])
encoders = shown | {f"ensemble of {len(raw.encoders)}": raw}
EmbeddingExplorer(encoders, sample, topics).show("07_embeddings", figures, settings)

# %% [markdown]
# ## The whole table
#
# **Predict first:** put these in order, from the lowest score to the highest: tf-idf word overlap, the untrained base,
# the SimCSE teachers, the five kinds of student, and the second round. Then say how many neighbours in your order the
# seeds can tell apart.
#
# The table gives the mean over seeds ± half the width of the 95% interval. What has no seed has a single number. The
# figure shows dev and one test set, with a dot for each seed; the dashed line is the mean of vanilla distillation.

# %%
table = lab.main_table()
score_frame(table)

# %%
figure, axes = new_axes(1, 2, width=14, height=4.6)
seeded = {row: scores for row, scores in table.items() if row not in ("tf-idf word overlap", "base, no training")}
for ax, task in zip(axes, ("dev", lab.headline), strict=True):
    draw_score_table(ax, {row: scores[task] for row, scores in seeded.items()}, baseline="vanilla distillation")
    lines = {"tf-idf": table["tf-idf word overlap"][task][0], "base": table["base, no training"][task][0]}
    ax.set_title(f"{task}, {lab.profile.seeds} seeds ({', '.join(f'{k} {v:.1f}' for k, v in lines.items())})")
show(figure, "07_main_table", figures, settings)

# %% [markdown]
# `dev` chose the checkpoints, so its column flatters a little. Nothing was chosen on the other columns. If you set
# `figures`, the next cell also saves the table there:

# %%
if figures:
    from distillcse_kit.experiments.shipped import ShippedRun, write_run

    command = f"distillcse course --profile {lab.profile.name}" + (" --data-dir DATA" if data_dir else "")
    path = Path(figures) / "07_main_table.json"
    write_run(path, ShippedRun(settings, command, table))
    print(f"The table is in {path}")

# %% [markdown]
# ## Four claims, tested
#
# Everything before stands or falls with four comparisons. Each is made on every set of pairs, over seeds:

# %%
tfidf, untrained = table["tf-idf word overlap"], table["base, no training"]
simcse = table[f"SimCSE teachers ({lab.profile.teachers})"]
full, vanilla = table["DistillCSE"], table["vanilla distillation"]
seeds = lab.profile.seeds
for task in table["DistillCSE"]:
    many = len(simcse[task])
    print(f"\n{task}")
    print(verdict(paired_difference(simcse[task], untrained[task] * many), "  SimCSE", "the untrained base"))
    print(verdict(paired_difference(simcse[task], tfidf[task] * many), "  SimCSE", "tf-idf word overlap"))
    print(verdict(paired_difference(full[task], vanilla[task]), "  DistillCSE", "vanilla distillation"))
    print(verdict(paired_difference(full[task], simcse[task][:seeds]), "  DistillCSE", "the teachers, seed by seed"))

# %% [markdown]
# Four claims on several sets make many 95% intervals, and one in twenty excludes 0 by chance alone. So look for what
# holds on *most* sets. And the intervals cover other seeds, not other test pairs.
#
# ## What about other pairs?
#
# A test set is a sample, too. So we keep the runs as they are and draw the pairs anew, with replacement. Then we see
# how much the difference moves. (Both methods and all seeds get the same draw, because a pair that is hard for one is
# hard for the other.)

# %%
from distillcse_kit.evaluation.power import seeds_needed
from distillcse_kit.evaluation.statistics import bootstrap_pairs

both = [np.stack([lab.pair_cosines(run) for run in lab.students(method)]) for method in ("distillcse", "vanilla")]
other_pairs = bootstrap_pairs(*both, pairs.score, seed=seed)
other_seeds = paired_difference(full[lab.headline], vanilla[lab.headline])
print(f"DistillCSE - vanilla on {lab.headline}: {other_pairs.difference:+.2f}")
print(f"other pairs, the same seeds: [{other_pairs.low:+.2f}, {other_pairs.high:+.2f}]")
print(f"other seeds, the same pairs: [{other_seeds.low:+.2f}, {other_seeds.high:+.2f}]")

# %% [markdown]
# Neither interval covers the other kind of chance. How many seeds would be enough? Suppose that differences scatter as
# much as these do, and that we want to detect a true difference four times in five. The table says how many seeds that
# takes, by the size of the difference:

# %%
scatter = other_seeds.standard_deviation
pd.Series({f"{size} points": seeds_needed(size, scatter) for size in (0.5, 1.0, 2.0)}, name="seeds").to_frame()

# %% [markdown]
# ## Beside the paper: the scale first
#
# Before we put any two numbers side by side, let us see how far apart the experiments are:

# %%
training, parameters = lab.profile.training, lab.base.model.num_parameters()
scale = {
    "parameters of the encoder": (parameters, 110e6),
    "training sentences": (len(lab.corpus), 1e6),
    "steps": (training.steps, 15_625),
    "sentences seen (steps x batch)": (training.steps * training.batch_size, 15_625 * 64),
}
frame = pd.DataFrame(scale, index=["here", "paper, BERT-base"]).T
frame["paper / here"] = frame["paper, BERT-base"] / frame["here"]
frame.style.format({"here": "{:,.0f}", "paper, BERT-base": "{:,.0f}", "paper / here": "{:,.2g}"})

# %% [markdown]
# (110 million is BERT-base's usual figure.) Because of this difference in scale, the levels cannot be compared. What we
# can compare, with all caution, is the *gain* of each method over plain distillation and over SimCSE. The paper prints its
# scores without a spread; the caption of its Table 4 claims p < 0.005 for DistillCSE over vanilla distillation. Ours have
# an interval over seeds. We use those of the paper's seven sets that this laboratory has:

# %%
from distillcse_kit.experiments.published import table_4

tasks = [task for task in PAPER_TASKS if task in lab.tests]
compared = tasks or list(lab.tests)
paper = table_4("BERT-base")
what = f"the mean of {', '.join(tasks)}" if tasks else "the built-in pairs, which the paper does not have"
print(
    f"Ours: {what}. The paper's: {f'the mean of the same {len(tasks)} of its 7 sets' if tasks else 'its seven-task average'}."
)


def average(row: str) -> np.ndarray:
    """Our mean over the compared sets, one number for each seed."""
    return np.mean([table[row][task] for task in compared], axis=0)


# %% [markdown]
# The first table shows the levels, and the second the gains:

# %%
ours = {"SimCSE": f"SimCSE teachers ({lab.profile.teachers})"} | {name: name for name in paper if name in table}
levels, gains = {}, {}
for name, row in ours.items():
    published = paper[name].mean_over(tasks or PAPER_TASKS)
    levels[name] = {"ours": str(seed_interval(average(row).tolist())), "paper": f"{published:.2f}"}
    for reference in ("SimCSE", "vanilla distillation"):
        difference = paired_difference(average(row)[:seeds], average(ours[reference])[:seeds])
        gain = published - paper[reference].mean_over(tasks or PAPER_TASKS)
        gains.setdefault(name, {})[f"ours over {reference}"] = "" if name == reference else str(difference)
        gains[name][f"paper over {reference}"] = "" if name == reference else f"{gain:+.2f}"
pd.DataFrame(levels).T

# %%
pd.DataFrame(gains).T

# %% [markdown]
# **Predict first:** without looking back at the table, which of our gains over vanilla distillation have an interval
# that contains the paper's gain?

# %%
for name in list(ours)[2:]:
    difference = paired_difference(average(ours[name])[:seeds], average("vanilla distillation")[:seeds])
    gain = paper[name].mean_over(tasks or PAPER_TASKS) - paper["vanilla distillation"].mean_over(tasks or PAPER_TASKS)
    place = "above" if gain > difference.high else "below" if gain < difference.low else "inside"
    print(
        f"{name} over vanilla: the paper's {gain:+.2f} lies {place} our interval [{difference.low:+.2f}, {difference.high:+.2f}]."
    )

# %% [markdown]
# A wide interval contains almost anything, so "inside" means agreement only where the interval is narrow. One caution
# about the paper itself: its text claims gains of 2.08 over vanilla and 2.87 over SimCSE, but its own table gives 2.06
# and 2.84.
#
# ## The same on real data, as it ships with the kit
#
# The kit can ship the table of a laptop run on real sentences and real test sets. If this installation has it, here it
# is, whatever your own parameters are. Below it, DistillCSE is compared with vanilla distillation on each set.

# %%
from distillcse_kit.experiments.shipped import shipped_run

real = shipped_run()
if real is None:
    print(
        "This installation has no run on real data; make your own with: distillcse course --profile laptop --data-dir DATA"
    )
    real_frame = None
else:
    print(real.command)
    print(", ".join(f"{name}: {value}" for name, value in real.settings.items()))
    real_frame = score_frame(real.table)
real_frame

# %%
if real is not None:
    for task, scores in real.table["DistillCSE"].items():
        claim = paired_difference(scores, real.table["vanilla distillation"][task])
        print(f"{task:<9}", verdict(claim, "DistillCSE", "vanilla distillation"))

# %% [markdown]
# ## Other systems
#
# DistillCSE is one of many descendants of SimCSE. The figure shows published seven-task averages on BERT-base. Each
# comes from its own paper and its own code:

# %%
from distillcse_kit.experiments.published import OTHER_SYSTEMS, systems_above

best = paper["DistillCSE, round 2"].average
systems = OTHER_SYSTEMS | {"DistillCSE": paper["DistillCSE"].average, "DistillCSE, round 2": best}
order = sorted(systems, key=lambda name: -systems[name])
figure, ax = new_axes(width=7, height=5)
for row, name in enumerate(order):
    ax.plot(
        systems[name],
        row,
        "D" if name.startswith("DistillCSE") else "o",
        color="C1" if name.startswith("DistillCSE") else "C0",
    )
    ax.annotate(
        f"{systems[name]:.2f}", (systems[name], row), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8
    )
ax.set_yticks(range(len(order)), order)
ax.invert_yaxis()
ax.set(xlabel="published average, Spearman × 100", title="BERT-base, unsupervised", xlim=(76, 81))
show(figure, "07_other_systems", figures, settings)

# %%
above = systems_above(best)
print(
    f"{len(above)} of {len(OTHER_SYSTEMS)} systems have a higher average than DistillCSE's second round ({best}): {', '.join(above)}."
)
print(
    f"Higher than its first round ({paper['DistillCSE'].average}): {', '.join(systems_above(paper['DistillCSE'].average))}."
)

# %% [markdown]
# So DistillCSE is not the best published system on BERT-base. We do not know the order of close neighbours in this
# figure, either: most of these numbers come without a spread, and they lie closer together than seeds lie apart.
#
# The raw ensemble of teachers deserves a line, too (the paper's Table 5). It is the mean cosine of the teachers
# *itself*, without any student:

# %%
from distillcse_kit.experiments.published import TABLE_5

pd.Series(TABLE_5, name="seven-task average, BERT-base").to_frame()

# %% [markdown]
# In that table, the student of an ensemble scores above the ensemble that taught it. So its gain is more than the gain
# of averaging predictions. Notebook 04 makes the same comparison here.
#
# ## Summary
#
# - The protocol is part of the number: all pairs of a task together, no head, [CLS], checkpoints chosen on dev.
# - The table above has every method of the course, and the four claims stand below it with their verdicts.
# - Our levels differ from the paper's because the scale differs. Gains can be compared, but only through intervals.
# - In its paper DistillCSE improves on SimCSE, and several other systems have higher published averages on BERT-base.
#
# **Go on** with `appendix_a_micro_encoder`, or with your own data.
