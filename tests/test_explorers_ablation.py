"""Ablations: stored students are found by their setting; the explorer compares, trains and cancels."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from distillcse_kit.config import DistillationSettings, Profile, TrainingSettings, profile_named
from distillcse_kit.data.sentence_pairs import SentencePairs
from distillcse_kit.errors import KitError
from distillcse_kit.evaluation.statistics import compare_by_seed, compare_with, seed_interval
from distillcse_kit.experiments.ablation import CHOICES, SYMBOLS, Ablation, shipped_results, turned
from distillcse_kit.experiments.sweep_result import SHIPPED
from distillcse_kit.explorers import AblationExplorer
from distillcse_kit.explorers import ablation_explorer as module
from distillcse_kit.laboratory import Laboratory
from distillcse_kit.training.loop import Cancelled, Progress
from distillcse_kit.training.named_recipes import group_p
from distillcse_kit.training.recipe import Recipe
from distillcse_kit.training.training_text import Corpus

USUAL = group_p(profile_named("laptop"))
PLAIN = turned(USUAL, p=0.0)
RESULTS = {
    USUAL: {0: 66.0, 1: 66.5, 2: 67.0},
    PLAIN: {0: 64.0, 1: 64.4, 2: 65.1},
    turned(USUAL, p=0.2): {0: 66.1, 2: 66.8},
    turned(USUAL, teachers=4): {0: 67.0, 1: 67.1, 2: 67.2},
    turned(PLAIN, pooling="avg"): {0: 60.0},
}


def progress(step: int, steps: int = 4, devs: tuple[float, ...] = ()) -> Progress:
    return Progress(step, steps, {"loss": 2.5}, [{"step": i + 1, "dev": dev} for i, dev in enumerate(devs)])


# ---------------------------------------------------------------- what is compared


def test_rows_are_paired_where_both_have_a_seed() -> None:
    whole = {"a": {0: 1.0, 1: 2.0, 2: 4.0}, "b": {0: 2.0, 1: 2.5, 2: 5.0}}
    assert compare_by_seed(whole, "a") == compare_with({row: list(of.values()) for row, of in whole.items()}, "a")
    some = {"a": {0: 1.0, 1: 2.0, 2: 4.0}, "b": {2: 5.0, 0: 2.0, 7: 9.0}, "c": {9: 1.0}}
    found = compare_by_seed(some, "a")
    assert list(found) == ["b"] and (found["b"].difference.n, found["b"].difference.mean) == (2, 1.0)


# ---------------------------------------------------------------- the table


def test_the_table_has_intervals_differences_and_marks() -> None:
    explorer = AblationExplorer(RESULTS, USUAL)
    words = explorer.words.value
    assert "Chosen: p = 0.1, tau_s = 0.02, tau_t = 0.01, lambda = 1, M = 1, pooling = cls." in words
    assert f"Stored: {seed_interval([66.0, 66.5, 67.0])} on dev, 3 seeds." in words
    plain, chosen, fifth = (row.split("</td>") for row in words.split("<tr>")[2:])
    assert plain[0].endswith(">not shuffled") and plain[1].endswith(f">{seed_interval([64.0, 64.4, 65.1])}")
    p_plain = stats.ttest_rel([64.0, 64.4, 65.1], [66.0, 66.5, 67.0]).pvalue
    p_fifth = stats.ttest_rel([66.1, 66.8], [66.0, 67.0]).pvalue
    assert plain[3].partition("[")[0].endswith(">-2.00 ") and plain[4].endswith(f">{min(2 * p_plain, 1):.3f}")
    assert plain[5].endswith(">*") and chosen[3].endswith(">the chosen one")
    assert fifth[2].endswith(">2") and fifth[4].endswith(f">{max(p_fifth, 2 * p_plain):.3f}")
    assert fifth[5].endswith(">not significant") and "1 of 2 other rows differs significantly" in words


def test_the_picture_shows_differences_of_the_same_seed() -> None:
    """So bars and stars agree: scores of two settings may overlap even where every seed gains."""
    ax = AblationExplorer(RESULTS, USUAL).paint().figure.axes[0]
    diamonds = {line.get_ydata()[0]: line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D"}
    bars = {line.get_ydata()[0]: line.get_xdata() for line in ax.lines if line.get_linewidth() == 2.5}
    assert diamonds == pytest.approx({0: -2.0, 1: 0.0, 2: -0.05})
    expected = stats.ttest_rel([64.0, 64.4, 65.1], [66.0, 66.5, 67.0]).confidence_interval()
    assert bars[0] == pytest.approx([expected.low, expected.high])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["not shuffled *", "0.1", "0.2"]
    absolute = AblationExplorer(RESULTS, turned(USUAL, p=0.05)).paint().figure.axes[0]
    scores = sorted(line.get_xdata()[0] for line in absolute.lines if line.get_marker() == "D")
    assert scores == pytest.approx([64.5, 66.45, 66.5])


def test_a_row_that_is_significant_only_before_correction_is_marked() -> None:
    draws = np.random.default_rng(3)
    gain = np.array([0.1, 0.9, 0.3, 1.2, 0.4])
    others = {turned(USUAL, p=p): dict(enumerate(draws.normal(66, 1, size=5))) for p in (0.2, 0.3, 0.4, 0.5)}
    usual = dict(enumerate(draws.normal(66, 1, size=5)))
    row = {seed: usual[seed] + gain[seed] for seed in usual}
    assert 0.0125 < stats.ttest_1samp(gain, 0).pvalue < 0.05
    words = AblationExplorer({USUAL: usual, PLAIN: row, **others}, USUAL).words.value
    plain = words.split("<tr>")[2].split("</td>")
    assert plain[0].endswith(">not shuffled") and plain[5].endswith(">only before correction")


def test_another_knob_shows_other_rows_and_another_picture() -> None:
    explorer = AblationExplorer(RESULTS, USUAL)
    shown = {}
    for along in SYMBOLS:
        explorer.controls["along"].value = along
        shown[along] = list(explorer.rows())
    assert shown["p"] == [0.0, 0.1, 0.2] and shown["teachers"] == [1, 4] and shown["pooling"] == ["cls"]
    first = explorer.image.value
    explorer.along = "teachers"
    assert explorer.image.value != first


@pytest.mark.parametrize("name", list(SYMBOLS))
def test_every_choice_of_every_knob_can_be_shown(name: str) -> None:
    explorer = AblationExplorer(RESULTS, USUAL, choices=CHOICES)
    for value in explorer.choices[name]:
        explorer.controls[name].value = value
        stored = RESULTS.get(explorer.chosen)
        assert ("Stored:" in explorer.words.value) == bool(stored)
        assert ("choose another value" in explorer.words.value) == (not stored or len(stored) < 3)
    with pytest.raises(KitError, match=f"{name} is"):
        setattr(explorer, name, {"pooling": "none", "teachers": 99}.get(name, 0.33))


def test_a_missing_setting_is_reported_and_nothing_is_compared() -> None:
    explorer = AblationExplorer(RESULTS, turned(USUAL, weight=2.0))
    assert "No result is stored for 3 of its 3 seeds" in explorer.words.value and "<table" not in explorer.words.value
    assert explorer.buttons["train"].disabled and explorer.buttons["cancel"].disabled


def test_without_results_a_start_is_needed() -> None:
    with pytest.raises(KitError, match="give a start"):
        AblationExplorer({})
    assert "No result is stored for 2 of its 2 seeds" in AblationExplorer({}, USUAL, seeds=[0, 1]).words.value


# ---------------------------------------------------------------- training, with a trainer that the tests control


class Held:
    """A trainer that stops at every step until it is let go."""

    def __init__(self, fails: bool = False) -> None:
        self.stepped, self.go_on = threading.Semaphore(0), threading.Semaphore(0)
        self.fails, self.seeds = fails, []  # type: ignore[var-annotated]

    def __call__(self, recipe: Recipe, seed: int, on_step: Callable[[Progress], None]) -> float:
        self.seeds.append(seed)
        for step in range(1, 5):
            on_step(progress(step, devs=(50.0, 60.0 + seed)[: step // 2]))
            self.stepped.release()
            assert self.go_on.acquire(timeout=30)
            if self.fails and step == 2:
                raise RuntimeError("the <disk> is gone")
        return 60.0 + seed

    def until(self, steps: int) -> None:
        """Let it go on until it has reported this many more steps; it then waits."""
        for number in range(steps):
            if number:
                self.go_on.release()
            assert self.stepped.acquire(timeout=30)

    def release(self) -> None:
        self.go_on.release(1_000)


WANTED = turned(USUAL, weight=2.0)


def test_a_missing_setting_is_trained_and_lands_in_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    held, now = Held(), [1_000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    explorer = AblationExplorer(RESULTS, WANTED, held, seeds=[0, 1])
    train, cancel = explorer.buttons["train"], explorer.buttons["cancel"]
    assert "press Train" in explorer.words.value and not train.disabled and cancel.disabled
    train.click()
    now[0] += 30  # 2 of the 8 steps of both seeds
    held.until(2)
    assert "dev 50.00; about 2 minutes left in all." in explorer.words.value
    assert (
        "No result is stored for 2 of its 2 seeds." in explorer.words.value
        and "press Train" not in explorer.words.value
    )
    held.go_on.release()
    held.until(2)
    assert train.disabled and not cancel.disabled and explorer.progress.layout.display == ""
    assert (explorer.progress.value, explorer.progress.max) == (4, 8)
    assert "seed 0 (1 of 2), step 4 of 4, loss 2.500, dev 60.00; about 30 seconds left in all." in explorer.words.value
    waiting = explorer.image.value
    explorer.along = "teachers"  # the page answers meanwhile
    assert "seed 0 (1 of 2), step 4 of 4" in explorer.words.value and explorer.image.value != waiting
    held.release()
    assert explorer.worker.wait(30)
    assert explorer.results[WANTED] == {0: 60.0, 1: 61.0} and held.seeds == [0, 1]
    assert (
        f"Stored: {seed_interval([60.0, 61.0])}" in explorer.words.value and "Trained: p = 0.1" in explorer.words.value
    )
    assert train.disabled and cancel.disabled and explorer.progress.layout.display == "none"


def test_cancelling_keeps_finished_seeds_and_training_again_takes_the_others() -> None:
    held = Held()
    explorer = AblationExplorer(RESULTS, WANTED, held, seeds=[0, 1])
    explorer.train()
    held.until(6)
    explorer.buttons["cancel"].click()
    assert explorer.buttons["cancel"].disabled
    held.release()
    assert explorer.worker.wait(30)
    assert explorer.results[WANTED] == {0: 60.0} and "Cancelled: p = 0.1" in explorer.words.value
    assert not explorer.buttons["train"].disabled and "No result is stored for 1 of its 2 seeds" in explorer.words.value
    explorer.train()
    assert explorer.worker.wait(30)
    assert explorer.results[WANTED] == {0: 60.0, 1: 61.0} and held.seeds == [0, 1, 1]


def test_a_failed_training_is_shown() -> None:
    held = Held(fails=True)
    explorer = AblationExplorer(RESULTS, WANTED, held, seeds=[0])
    explorer.train()
    held.until(1)
    held.release()
    assert explorer.worker.wait(30)
    assert "RuntimeError: the &lt;disk&gt; is gone" in explorer.words.value and "Traceback" in explorer.words.value
    assert not explorer.buttons["train"].disabled and WANTED not in explorer.results
    explorer.along = "teachers"
    assert "The last training failed: the &lt;disk&gt;" in explorer.words.value


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(KitError, match="There is no trainer"):
        AblationExplorer(RESULTS, WANTED).train()
    held = Held()
    explorer = AblationExplorer(RESULTS, USUAL, held)
    with pytest.raises(KitError, match="All seeds of this setting are stored already"):
        explorer.train()
    explorer.weight = 2.0
    explorer.train()
    with pytest.raises(KitError, match="being trained already"):
        explorer.train()
    held.release()
    assert explorer.worker.wait(30)


# ---------------------------------------------------------------- on a laboratory


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, tiny: Path, corpus: Corpus, dev: SentencePairs) -> Laboratory:
    """Two teachers of a tiny BERT, trained for a few steps."""
    training = TrainingSettings(base=str(tiny), steps=4, evaluate_every=2, batch_size=8, precision="float32")
    profile = Profile("test", training, DistillationSettings(), teachers=2, seeds=2)
    made = Laboratory(profile, store=tmp_path_factory.mktemp("ablation"))
    made.corpus, made.dev = corpus, dev  # in place of the built-in ones
    made.teachers()
    return made


def test_runs_are_found_by_setting_however_they_were_trained(lab: Laboratory) -> None:
    teachers, usual = lab.teachers(), Ablation(lab).usual
    expected = {
        turned(usual, p=0.0): [lab.student([teachers[s]], s) for s in (0, 1)],
        usual: [lab.student([teachers[0]], 0, shuffle="group_p")],
        turned(usual, teachers=2, weight=0.5): [lab.student(teachers, 0, shuffle="group_p", weight=0.5)],
    }
    lab.student([teachers[1]], 0)  # of another teacher than its own
    lab.student([teachers[0]], 0, shuffle="group_mean")
    lab.student([teachers[0]], 0, batch_size=9)
    found = Ablation(lab).stored()
    assert found == {recipe: {run.seed: run.scores["dev"] for run in runs} for recipe, runs in expected.items()}


def test_what_is_trained_is_found_and_is_the_same_run(lab: Laboratory) -> None:
    ablation = Ablation(lab)
    wanted = turned(ablation.usual, teachers=2, pooling="avg", student_temperature=0.05)
    steps: list[Progress] = []
    score = ablation.train(wanted, 1, steps.append)
    assert [item.step for item in steps] == [1, 2, 3, 4] and {item.steps for item in steps} == {4}
    assert [len(item.history) for item in steps] == [0, 1, 1, 2]
    assert ablation.stored()[wanted] == {1: score}
    assert ablation.train(wanted, 1, lambda _: pytest.fail("trained again")) == score


def test_a_cancelled_run_leaves_nothing_half_done(lab: Laboratory) -> None:
    ablation = Ablation(lab)
    wanted = turned(ablation.usual, p=0.5)

    def stop(item: Progress) -> None:
        if item.step == 3:
            raise Cancelled

    before = sorted(path.name for path in (lab.store.root / "runs").iterdir() if path.suffix != ".lock")
    with pytest.raises(Cancelled):
        ablation.train(wanted, 0, stop)
    assert sorted(p.name for p in (lab.store.root / "runs").iterdir() if p.suffix != ".lock") == before
    fresh = ablation.train(wanted, 0)
    assert ablation.stored()[wanted] == {0: fresh}


def test_the_explorer_trains_in_the_store(lab: Laboratory) -> None:
    ablation = Ablation(lab)
    wanted = turned(ablation.usual, weight=2.0)
    explorer = AblationExplorer(ablation.stored(), wanted, ablation.train, ablation.seeds, choices=ablation.choices)
    explorer.buttons["train"].click()
    assert explorer.worker.wait(120)
    assert "Trained:" in explorer.words.value, explorer.words.value
    assert ablation.stored()[wanted] == explorer.results[wanted] and len(explorer.results[wanted]) == 2


def test_choices_are_those_that_can_be_trained(lab: Laboratory) -> None:
    ablation = Ablation(lab)
    assert ablation.choices["teachers"] == [1, 2] and 0.1 in ablation.choices["p"]
    with pytest.raises(KitError, match="at least 2 teachers instead of 1"):
        Ablation(lab, 1)


# ---------------------------------------------------------------- what ships


@pytest.mark.parametrize("column", ["average", "dev", "stsb"])
def test_shipped_students_are_found_by_knobs(column: str) -> None:
    """The expected values are read from the files by their labels."""
    expected = {}
    for name in ("table6-p", "table6-lambda", "table7", "ensembles"):
        for row in json.loads((SHIPPED / f"{name}.json").read_text())["table"]:
            scores = dict(enumerate(row["values"][row["columns"].index(column)]))
            words = row["setting"].replace(",", "").split()
            if name == "table6-p":
                recipe = turned(USUAL, p=float(words[1]))
            elif name == "table6-lambda":
                recipe = turned(PLAIN, weight=float(words[1]))
            elif name == "table7":
                recipe = turned(PLAIN, student_temperature=float(words[1]), teacher_temperature=float(words[3]))
            elif words[0] == "1":
                continue  # all seeds of one teacher: no setting of the six knobs
            else:
                recipe = turned(USUAL if "Group-P" in words else PLAIN, teachers=int(words[0]))
            assert expected.setdefault(recipe, scores) == scores  # rows in two tables are the same runs
    assert shipped_results(column) == expected and len(expected) == 26


def test_without_a_trainer_only_what_is_stored_is_offered() -> None:
    explorer = AblationExplorer(RESULTS)
    assert explorer.choices["teachers"] == [1, 4] and explorer.choices["p"] == [0.0, 0.1, 0.2]
    assert all(button.layout.display == "none" for button in explorer.buttons.values())
    assert set(AblationExplorer(RESULTS, trainer=lambda *_: 0.0).choices["p"]) == set(CHOICES["p"])
