"""What all explorers promise: controls follow traits, one picture per state, no hidden error, typed text is escaped."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traitlets
from PIL import Image

from distillcse_kit.errors import KitError
from distillcse_kit.explorers import HEADLESS, Explorer, Picture, base, controls
from distillcse_kit.explorers.sheet import Sheet, png_of


class PowerExplorer(Explorer):
    """x to a power of at most x + 1; the smallest explorer that uses everything in the base."""

    title, first, look = "Powers & <roots>", "move x", "how it grows"
    x = traitlets.Float(1.0)
    power = traitlets.Int(1)
    name = traitlets.Unicode("curve")

    def __init__(self) -> None:
        self.sheet = Sheet(1, 2, left=0.1, right=0.9)
        self.painted = 0
        super().__init__(
            {
                "x": controls.float_slider("x", 0, 10, 0.5),
                "power": controls.int_slider("power", 0, 9),
                "name": controls.dropdown("name", ["curve", "<b>line</b>"]),
            }
        )

    def adjust(self) -> None:
        self.controls["power"].max = int(self.x) + 1

    def paint(self) -> Picture:
        self.painted += 1
        if self.x == 6.5:
            raise ValueError("<script>lost</script>")
        if self.x == 7.5:
            raise KitError("Choose <another> x.")
        one, _ = self.sheet.wiped()
        one.plot([0, self.x**self.power])
        return Picture(self.sheet.figure, f"{self.x**self.power:g}\n{self.name}", [("a", "b<"), (self.name, "1")])


@pytest.fixture
def power() -> PowerExplorer:
    return PowerExplorer()


def test_a_control_moves_its_trait_and_a_trait_its_control(power: PowerExplorer) -> None:
    power.controls["x"].value = 4.0
    assert power.x == 4 and "4<br>" in power.words.value
    power.power = 2
    assert power.controls["power"].value == 2 and "16<br>" in power.words.value
    assert power.state == {"x": 4.0, "power": 2, "name": "curve"}


def test_each_state_is_painted_once_also_where_a_limit_moves_another_control(power: PowerExplorer) -> None:
    power.x, power.power = 8.0, 9
    before = power.painted
    power.x = 2.0  # the limit of the power falls to 3, which moves the power
    assert power.power == 3 and power.controls["power"].max == 3
    assert power.painted == before + 1 and "8<br>" in power.words.value


def test_the_picture_is_a_png_of_the_state_that_can_be_traced(power: PowerExplorer) -> None:
    pictures = []
    for x in (1.0, 2.0, 5.5):
        power.x = x
        with Image.open(io.BytesIO(power.image.value)) as image:
            assert image.size == (900, 400) and image.mode == "RGB"
            assert json.loads(image.text["Settings"])["x"] == x  # type: ignore[attr-defined]
        pictures.append(power.image.value)
    assert len(set(pictures)) == 3


def test_a_state_looks_the_same_whatever_was_drawn_before_it(power: PowerExplorer) -> None:
    power.x = 3.0
    first = power.image.value
    power.x, power.x = 9.5, 3.0
    assert power.image.value == first


def test_every_widget_has_its_dom_class(power: PowerExplorer) -> None:
    assert {"dk-explorer", "dk-power"} <= set(power.box._dom_classes)
    assert "dk-control-power" in power.controls["power"]._dom_classes
    assert "dk-image" in power.image._dom_classes and "dk-words" in power.words._dom_classes
    assert base.kebab("TeacherVarianceExplorer") == "teacher-variance" and base.kebab("GroupPExplorer") == "group-p"
    assert base.kebab("TrainingMonitor") == "training-monitor"


def test_text_is_escaped_and_has_no_colour_of_its_own(power: PowerExplorer) -> None:
    power.name = "<b>line</b>"
    heading = power.box.children[0].value
    for shown in (power.words.value, heading):
        assert "color" not in shown and "<b>line" not in shown and "<roots>" not in shown
    assert power.words.value.count("&lt;b&gt;line&lt;/b&gt;") == 2 and "b&lt;</th>" in power.words.value
    assert "Try first:" in heading and "move x" in heading and "how it grows" in heading


def test_an_exception_is_raised_and_shown_until_the_next_move(power: PowerExplorer) -> None:
    with pytest.raises(ValueError, match="lost"):
        power.controls["x"].value = 6.5
    assert "&lt;script&gt;lost" in power.words.value and "Traceback" in power.words.value
    assert "<script>" not in power.words.value and power.image.value == b""
    power.controls["x"].value = 6.0
    assert "Traceback" not in power.words.value and power.image.value


def test_an_error_of_the_user_is_shown_as_one_sentence(power: PowerExplorer) -> None:
    with pytest.raises(KitError):
        power.x = 7.5
    assert "Choose &lt;another&gt; x." in power.words.value and "Traceback" not in power.words.value


def test_without_a_front_end_the_present_state_is_a_static_figure(
    power: PowerExplorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(HEADLESS, "1")
    monkeypatch.setattr(base, "display", lambda *_: pytest.fail("a widget was displayed"))
    power.x = 2.5
    power.show("power", tmp_path, {"seeds": 5})
    with Image.open(tmp_path / "power.png") as image:
        settings = json.loads(image.text["Settings"])  # type: ignore[attr-defined]
        assert np.asarray(image).std() > 1
    assert settings["seeds"] == 5 and settings["controls"]["x"] == 2.5
    printed = capsys.readouterr().out.splitlines()
    assert printed[-4:] == ["2.5", "curve", "a      b<", "curve  1"]


def test_with_a_front_end_the_widget_is_shown(
    power: PowerExplorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(HEADLESS, raising=False)
    shown: list[Any] = []
    monkeypatch.setattr(base, "display", shown.append)
    power.show("power")
    assert shown == [power.box] and list(tmp_path.iterdir()) == []


def test_a_wiped_sheet_is_as_new() -> None:
    sheet = Sheet(width=3, height=2)

    def wiped() -> bytes:
        [ax] = sheet.wiped()
        ax.set(aspect="auto", xlim=(0, 1), ylim=(0, 1))
        return png_of(sheet.figure, {}, "t")

    empty = wiped()
    [ax] = sheet.wiped()
    ax.bar([1, 2], [3, 4])
    ax.errorbar([1, 2], [3, 4], 1, label="bars")
    ax.fill_between([0, 1], 0, 1)
    ax.imshow(np.eye(2))
    ax.text(0.5, 0.5, "text")
    ax.set_title("title")
    ax.legend()
    assert png_of(sheet.figure, {}, "t") != empty
    assert wiped() == empty


def test_checkboxes_are_one_control_with_any_subset() -> None:
    boxes = controls.Checkboxes("teachers", {3: "three", 5: "five", 8: "eight"})
    heard: list[tuple[int, ...]] = []
    boxes.observe(lambda change: heard.append(change["new"]), names="value")
    boxes.value = (8, 3)
    ticked = boxes.children[1].children
    assert boxes.value == (3, 8) and [box.value for box in ticked] == [True, False, True]
    ticked[1].value = True
    ticked[0].value = False
    assert boxes.value == (5, 8) and heard == [(3, 8), (3, 5, 8), (5, 8)]
    boxes.value = ()
    assert not any(box.value for box in ticked)


def test_labels_fit_into_their_width() -> None:
    """Every label of a control: one that is cut off would read as another word."""
    import re

    sources = Path(base.__file__).parent.glob("*.py")
    made = [
        label
        for path in sources
        for label in re.findall(r"controls\.[a-zA-Z_]+\(\s*\"([^\"]*)\"", path.read_text(encoding="utf-8"))
    ]
    assert len(made) > 3 and max(map(len, made)) <= controls.LONGEST, made


def test_a_control_without_a_choice_is_disabled() -> None:
    assert controls.int_slider("x", 1, 1).disabled and not controls.int_slider("x", 1, 2).disabled
    assert controls.dropdown("x", ["one"]).disabled and controls.choice_slider("x", [1]).disabled
