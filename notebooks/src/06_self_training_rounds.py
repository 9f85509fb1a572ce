# %% [markdown]
# # 06 Self-training: students become teachers
#
# **Goal.** Let the students teach a next generation, and see whether it gets better, and for how long.
#
# **You will learn**
#
# - iterative self-training, and where it can go wrong,
# - how scores change from round to round, with intervals,
# - whether the generations become more alike, and why that matters for averaging,
# - what the paper reports of a second round.
#
# **Time:** about half a minute on smoke; some minutes on laptop, the first time.

# %% tags=["parameters"]
profile: str = "smoke"  # smoke (minutes), laptop (40 minutes for the whole course) or paper (a GPU)
seed: int = 0  # of what the notebook draws at random
data_dir: str = ""  # folder with STS sets; empty: the built-in pairs
corpus: str = ""  # training sentences, a file or a hub name; empty: found in data_dir, or built in
base: str = ""  # encoder to start from; empty: the profile's
store: str = ""  # folder of everything computed; empty: DISTILLCSE_STORE or ~/.cache/distillcse_kit
figures: str = ""  # folder for the PNG figures; empty: only shown

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
# If the students of a round are better than their teachers, let them teach (Eq 4 of the paper). With $F_0$ the SimCSE
# teachers and $r = 1, 2, \dots$:
#
# $$F_r = \arg\min_F\; \ell_{cl}(F) + \lambda\, \ell_{distill}(F, F_{r-1})$$
#
# Each round starts again from the *base*, not from the last round's weights: only the targets are inherited. In the
# library it is a plain loop, `Laboratory.rounds`:
#
# ```python
# teachers = lab.teachers()                                # F_0
# for _ in range(rounds):
#     teachers = lab.students("distillcse", teachers)      # F_r learns from F_{r-1}
# ```
#
# Nothing from outside enters the loop: no label, no new sentence. What can improve from round to round is only how
# steadily the targets say what the encoders already know. And what can go wrong is that the generation agrees ever more
# with itself, and so averages over ever less.
#
# **Predict first:** the first round of distillation changes the score by some amount. Will the second change it by
# more, as much, or less?

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
# Mind the column `taught by`: a later round has as many teachers as there were *students*, which may be fewer than the
# first round's $M$. A change from round to round is then partly a change of the size of the ensemble.
#
# ## Scores by round

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
# The pairs share the seed: the order of the sentences and the dropout masks. They do not share a line of descent, since
# every student of a round has *all* encoders of the round before as its teachers. And all students of a round share
# these teachers, so the interval knows nothing of what another set of teachers would have given.
#
# ## Do the generations become more alike?
#
# Averaging helps to the extent that teachers err *differently*. How alike are two encoders of one generation? Rank the
# dev pairs by each one's cosines and correlate the two rankings, for all pairs of encoders.
#
# **Predict first:** will two students of the same teachers agree more, or less, than two of their teachers do?

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
# (These pairs of encoders are not independent, every encoder being in several of them, so no interval is given. Where
# the number of encoders is small, take it as a first look.) If agreement is near 100, the next round's mean over
# teachers is nearly one teacher's opinion, and there is little left for another round to gain by averaging.
#
# ## What the paper reports
#
# The paper trains two rounds. Its gains, in the seven-task average, each from one run:

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
print("BERT-base, second round against first, by task:")
print(", ".join(f"{task} {b - a:+.2f}" for task, a, b in zip(PAPER_TASKS, one.scores, two.scores, strict=True)))

# %% [markdown]
# Small gains, then, and not on every task. They are below the 1 point or so that seeds alone can make between two
# single runs, so by themselves they do not show that a second round helps; that they point the same way for three
# encoders is some evidence. (RoBERTa-base's second round is not among the numbers that this kit holds.)
#
# Beside it, ours:

# %%
for number in range(1, len(names)):
    later, earlier = (table[names[index]][lab.headline][:seeds] for index in (number, number - 1))
    print(f"Round {number}: {seed_interval(np.subtract(later, earlier).tolist())} on {lab.headline}, {seeds} seeds")

# %% [markdown]
# ## Summary
#
# - A round starts from the base again and inherits only the targets; nothing new enters the loop.
# - The verdicts above say what each round changed here; the paper's second round gains between 0.2 and 0.5 points.
# - Agreement inside a generation bounds what averaging over it can still remove.
# - Later rounds may have fewer teachers than the first: look before you compare.
#
# **Go on** with `07_evaluate_and_compare`: the whole table, and the papers'.
