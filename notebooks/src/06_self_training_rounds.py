# %% [markdown]
# # 06 Self-training: students become teachers
#
# **Goal.** Let the students teach a next generation. See whether it gets better, and for how long.
#
# **You will learn**
#
# - how iterative self-training works, and where it can go wrong,
# - how scores change from round to round, with intervals,
# - whether the encoders of a generation become more alike, and why that matters for averaging,
# - what the paper reports for a second round.
#
# **Time:** about half a minute on smoke; some minutes on laptop, the first time.
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
from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from distillcse_kit.evaluation import pair_cosines, paired_difference, seed_interval, spearman, verdict
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.plots.curve_plots import draw_history
from distillcse_kit.plots.score_plots import draw_score_table, score_frame
from distillcse_kit.plots.style import new_axes, show

lab = Laboratory(profile, data_dir or None, corpus or None, base or None, store or None)
settings = lab.describe()
pd.Series(settings, name="this laboratory").to_frame()

# %% [markdown]
# ## The loop
#
# If the students of a round are better than their teachers, let them teach (Eq 4 of the paper). Let $F_0$ be the SimCSE
# teachers. Then, for $r = 1, 2, \dots$:
#
# $$F_r = \arg\min_F\; \ell_{cl}(F) + \lambda\, \ell_{distill}(F, F_{r-1})$$
#
# Each round starts again from the *base*, not from the weights of the last round. It inherits only the targets. In the
# library this is a plain loop, `Laboratory.rounds`:
#
# ```python
# teachers = lab.teachers()                                # F_0
# for _ in range(rounds):
#     teachers = lab.students("distillcse", teachers)      # F_r learns from F_{r-1}
# ```
#
# Nothing enters the loop from outside: no label, no new sentence. Only one thing can improve from round to round: how
# steadily the targets say what the encoders already know. And one thing can go wrong: the encoders of a generation may
# agree more and more, so that averaging over them removes less and less.
#
# **Predict first:** the first round of distillation changes the score by some amount. Will the second change it by
# more, by as much, or by less? First, the generations themselves:

# %%
teachers, generations = lab.teachers(), lab.rounds()
rounds = {"round 0: SimCSE teachers": teachers}
rounds |= {f"round {number}: DistillCSE": runs for number, runs in enumerate(generations, start=1)}
pd.DataFrame(
    [
        {"generation": name, "encoders": len(runs), "taught by": taught}
        for (name, runs), taught in zip(rounds.items(), [0, *map(len, rounds.values())], strict=False)
    ]
)

# %% [markdown]
# Look at the column `taught by`. A later round has as many teachers as the round before had *students*, and these may
# be fewer than the $M$ teachers of the first round. So part of a change from round to round may come from the size of
# the ensemble.
#
# ## Scores by round
#
# The table gives the mean over seeds ± half the width of the 95% interval. The figure shows the dev score over training
# on the left, and one test set by round on the right; the dashed line is the mean of the SimCSE teachers. After it,
# each round is compared with the one before.

# %%
table = {"base, no training": lab.scores([lab.base])} | {name: lab.scores(runs) for name, runs in rounds.items()}
score_frame(table)

# %%
figure, (left, right) = new_axes(1, 2, width=13, height=3.6)
draw_history(left, {name: [run.history for run in runs] for name, runs in rounds.items()}, "dev")
left.set_title("dev score over training")
draw_score_table(
    right, {name: scores[lab.headline] for name, scores in table.items()}, baseline="round 0: SimCSE teachers"
)
right.set_title(f"{lab.headline}, by round")
show(figure, "06_rounds", figures, settings)

# %%
names, seeds = list(rounds), lab.profile.seeds
for earlier, later in pairwise(names):
    for task in ("dev", *lab.tests):
        difference = paired_difference(table[later][task][:seeds], table[earlier][task][:seeds])
        print(f"{task:<9}", verdict(difference, later, earlier))

# %% [markdown]
# These differences pair runs with the same seed, that is, with the same order of sentences and the same dropout masks.
# They do not pair a student with its own teacher, because every student of a round learns from *all* encoders of the
# round before. And all students of a round share these teachers, so the interval does not cover what another set of
# teachers would have given.
#
# ## Do the encoders of a generation become more alike?
#
# Averaging helps to the extent that teachers err *differently*. How alike are two encoders of one generation? Each of
# them ranks the dev pairs by its cosines. We correlate the two rankings, and do so for all pairs of encoders. The table
# shows what comes out.
#
# **Predict first:** two students share the same teachers. Will they agree more than two of their teachers do, or less?

# %%
agreement = {}
for name, runs in rounds.items():
    cosines = [pair_cosines(run.encoder(), lab.dev) for run in runs[:seeds]]
    agreement[name] = [spearman(one, other) for one, other in combinations(cosines, 2)]
summary = {
    name: {"mean agreement × 100": np.mean(values), "lowest": min(values), "pairs of encoders": len(values)}
    for name, values in agreement.items()
}
pd.DataFrame(summary).T.round(2)

# %%
for earlier, later in pairwise(names):
    change = np.mean(agreement[later]) - np.mean(agreement[earlier])
    print(f"From {earlier} to {later}: agreement {'rose' if change > 0 else 'fell'} by {abs(change):.2f} points.")

# %% [markdown]
# These pairs of encoders are not independent, because every encoder is in several of them. So we give no interval. If
# there are only a few encoders, take this as a first look. If agreement is near 100, the next round's mean over
# teachers is almost the opinion of one teacher, and averaging has little left to gain.
#
# ## What the paper reports
#
# The paper trains two rounds. The first table shows its gains in the seven-task average. It prints no spread over seeds;
# the caption of its Table 4 claims p < 0.005 for DistillCSE over vanilla distillation. Below the table are the gains of
# the second round for BERT-base, task by task.

# %%
from distillcse_kit.experiments.published import TABLE_4, table_4

reported = {}
for model in dict.fromkeys(row.model for row in TABLE_4):
    rows = {method: row.average for method, row in table_4(model).items()}
    first = rows["DistillCSE"] - rows["SimCSE"]
    second = rows["DistillCSE, round 2"] - rows["DistillCSE"] if "DistillCSE, round 2" in rows else None
    reported[model] = {"SimCSE": rows["SimCSE"], "gain of round 1": first, "gain of round 2": second}
pd.DataFrame(reported).T.astype(float).round(2)

# %%
from distillcse_kit.evaluation import PAPER_TASKS

one, two = (table_4("BERT-base")[name] for name in ("DistillCSE", "DistillCSE, round 2"))
print("BERT-base, second round minus first, by task:")
print(", ".join(f"{task} {b - a:+.2f}" for task, a, b in zip(PAPER_TASKS, one.scores, two.scores, strict=True)))

# %% [markdown]
# The gains of the second round are small, and not every task has one. Seeds alone can move two single runs apart by
# about 1 point, and the gains are below that. So by themselves they do not show that a second round helps. Still, they
# point the same way for three encoders, and that is some evidence. (RoBERTa-base's second round is not among the
# numbers that this kit holds.)
#
# Here are our own gains beside the paper's:

# %%
for number in range(1, len(names)):
    later, earlier = (table[names[index]][lab.headline][:seeds] for index in (number, number - 1))
    print(f"Round {number}: {seed_interval(np.subtract(later, earlier).tolist())} on {lab.headline}, {seeds} seeds")

# %% [markdown]
# ## Summary
#
# - Each round starts from the base again and inherits only the targets. Nothing new enters the loop.
# - The verdicts above say what each round changed here. The paper's second round gains between 0.2 and 0.5 points.
# - How much the encoders of a generation agree limits what averaging over them can still remove.
# - Later rounds may have fewer teachers than the first, so check that before you compare.
#
# **Go on** with `07_evaluate_and_compare`: the whole table, and the paper's.
