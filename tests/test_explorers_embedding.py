"""The embedding explorer against cosines by hand, on encoders that count words; typed text stays text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from distillcse_kit.errors import KitError
from distillcse_kit.explorers import EmbeddingExplorer
from distillcse_kit.explorers.embedding_explorer import MOST_TYPED, PROJECTION, SIMILARITY, principal_plane

SAMPLE = [f"the {animal} {does} {where}" for animal in ("cat", "dog", "cow") for does in ("sees", "hears")
          for where in ("a house", "the sea")]  # fmt: skip
TOPICS = [sentence.split()[1] for sentence in SAMPLE]
TYPED = ["the cat sees the sea", "a dog", "my house & <b>garden</b>"]


class Counting:
    """Counts letters or words: an encoder that needs no training."""

    def __init__(self, by_word: bool) -> None:
        self.by_word, self.asked = by_word, []  # type: ignore[var-annotated]

    def encode(self, sentences: list[str], /) -> np.ndarray:
        self.asked += sentences
        rows = np.full((len(sentences), 64), 0.1)
        for row, sentence in enumerate(sentences):
            for part in sentence.split() if self.by_word else sentence:
                rows[row, sum(map(ord, part)) % 64] += 1
        return rows


def cosines(by_word: bool, first: list[str], second: list[str]) -> np.ndarray:
    a, b = Counting(by_word).encode(first), Counting(by_word).encode(second)
    return a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)


@pytest.fixture
def encoders() -> dict[str, Counting]:
    return {"words": Counting(True), "letters": Counting(False)}


@pytest.fixture
def explorer(encoders: dict[str, Counting]) -> EmbeddingExplorer:
    return EmbeddingExplorer(encoders, SAMPLE, TOPICS, "\n".join(TYPED))


@pytest.mark.parametrize(("focus", "neighbours"), [(0, 5), (1, 1), (2, 10)])
def test_neighbours_are_those_of_each_encoder(explorer: EmbeddingExplorer, focus: int, neighbours: int) -> None:
    explorer.controls["focus"].value, explorer.controls["neighbours"].value = focus, neighbours
    head, *rows = explorer.words.value.split("<tr>")[1:]
    assert head.index("words") < head.index("letters") and len(rows) == neighbours
    for column, by_word in enumerate((True, False)):
        found = cosines(by_word, [TYPED[focus]], SAMPLE)[0]
        order = np.argsort(-found.round(5), kind="stable")
        for row, place in zip(rows, order, strict=False):
            cell = row.split("</td>")[column]
            assert f">{found[place]:.2f} " in cell
        assert SAMPLE[order[0]] in rows[0] or found[order[0]] - found[order[1]] < 1e-5


def test_the_most_similar_typed_pair_is_named(explorer: EmbeddingExplorer) -> None:
    said = []
    for label, by_word in (("words", True), ("letters", False)):
        found = np.triu(cosines(by_word, TYPED, TYPED), 1)
        i, j = np.unravel_index(np.argmax(found), found.shape)
        said.append(f"{label}: {i + 1} and {j + 1} ({found[i, j]:.2f})")
    assert f"Most similar pair under {'; under '.join(said)}." in explorer.words.value


def test_typed_text_is_text(explorer: EmbeddingExplorer) -> None:
    for text in ("<img src=x onerror=alert(1)>", "$\\frac{1}{0}$ costs $5", "a\u2028b \x00 é 漢字", "x" * 20_000):
        explorer.controls["text"].value = f"{text}\nsomething else"
        for view in (SIMILARITY, PROJECTION):
            explorer.view = view
            assert bytes(explorer.image.value).startswith(b"\x89PNG") and "<img" not in explorer.words.value
    explorer.text = "<img src=x onerror=alert(1)>"
    assert "1: &lt;img src=x onerror=alert(1)&gt;" in explorer.words.value


def test_each_sentence_is_embedded_once(explorer: EmbeddingExplorer, encoders: dict[str, Counting]) -> None:
    explorer.text = f"{TYPED[0]}\nnew\nnew"
    explorer.view, explorer.focus = PROJECTION, 1
    assert encoders["words"].asked == [*SAMPLE, *TYPED, "new"]


def test_blank_lines_do_not_count_and_a_sentence_says_that_five_do(explorer: EmbeddingExplorer) -> None:
    explorer.text = "\n one  two \n\n   \n three"
    assert explorer.typed == ["one two", "three"] and "Only the first" not in explorer.words.value
    explorer.text = "\n".join(f"line {i}" for i in range(8))
    assert len(explorer.typed) == MOST_TYPED and "Only the first 5 lines count." in explorer.words.value


def test_a_sentence_says_that_nothing_or_only_one_sentence_is_typed(explorer: EmbeddingExplorer) -> None:
    explorer.focus = 2
    explorer.text = " \n "
    assert "Nothing is typed" in explorer.words.value and explorer.controls["focus"].disabled
    explorer.text = "alone"
    assert "Type a second sentence" in explorer.words.value and "<table" in explorer.words.value
    explorer.text = "\n".join(TYPED)
    assert not explorer.controls["focus"].disabled and explorer.controls["focus"].options[2][0].startswith(
        "3: my house"
    )


def test_the_focus_moves_up_when_its_line_is_deleted(explorer: EmbeddingExplorer) -> None:
    explorer.focus = 2
    explorer.text = "one\ntwo"
    assert explorer.focus == 1 == explorer.controls["focus"].value
    with pytest.raises(KitError, match="focus is 2"):
        explorer.focus = 2


def test_each_view_and_text_has_a_picture_of_its_own(explorer: EmbeddingExplorer) -> None:
    pictures = []
    for view in (SIMILARITY, PROJECTION):
        for text in ("one two", "one two\nthe cat", "one two\nthe dog hears a house"):
            explorer.view, explorer.text = view, text
            pictures.append(explorer.image.value)
    assert len(set(pictures)) == 6


def test_the_plane_is_that_of_principal_components() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 6)) * [5, 1, 3, 0.2, 1, 1]
    plane, oracle = principal_plane(vectors), PCA(2).fit(vectors)
    np.testing.assert_allclose(np.abs(plane(vectors)), np.abs(oracle.transform(vectors)), atol=1e-9)
    assert plane.share == pytest.approx(oracle.explained_variance_ratio_.sum())


def test_topics_are_groups_and_rare_ones_are_others(encoders: dict[str, Counting]) -> None:
    many = [f"topic {i}" for i in range(10)] + ["topic 3", "topic 9"]
    groups = EmbeddingExplorer(encoders, SAMPLE, many)._groups()
    assert [name for name, *_ in groups][:3] == ["others", "topic 3", "topic 9"] and len(groups) == 8
    assert sorted(np.concatenate([rows for _, rows, *_ in groups]).tolist()) == list(range(len(SAMPLE)))
    assert len({mark for _, _, _, mark in groups}) == 8
    [(name, rows, *_)] = EmbeddingExplorer(encoders, SAMPLE)._groups()
    assert name == "sample" and len(rows) == len(SAMPLE)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"encoders": {}}, "0 encoders"),
        ({"encoders": {str(i): Counting(True) for i in range(5)}}, "5 encoders"),
        ({"sample": SAMPLE[:2]}, "2 sentences; give at least 3"),
        ({"topics": TOPICS[:4]}, "4 topics for 12"),
    ],
)
def test_data_that_do_not_fit_together_are_refused(
    encoders: dict[str, Counting], changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(KitError, match=sentence):
        EmbeddingExplorer(**({"encoders": encoders, "sample": SAMPLE, "topics": TOPICS} | changes))


@pytest.mark.parametrize(("trait", "value"), [("focus", 3), ("focus", -1), ("neighbours", 0), ("neighbours", 11)])
def test_a_trait_outside_its_range_is_refused(explorer: EmbeddingExplorer, trait: str, value: int) -> None:
    with pytest.raises(KitError, match=f"{trait} is {value}"):
        setattr(explorer, trait, value)
    with pytest.raises(KitError, match="view is"):
        explorer.view = "upside down"
