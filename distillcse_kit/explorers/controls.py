"""The controls of explorers: ipywidgets of one width, which act when they are released; checkboxes are one control.

Their values come from the traits that they are linked to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import traitlets

WIDTH = "416px"  # two fit side by side in a notebook's column on a screen of 1280 pixels
WIDE = "836px"
LABEL = 150  # pixels
LONGEST = 22  # letters that fit into a label

_FRAME = "1px solid rgba(128, 128, 128, 0.4)"  # shows which box a number belongs to, on light and dark pages
_STYLE = {"description_width": f"{LABEL}px"}


def _layout(wide: bool) -> widgets.Layout:
    return widgets.Layout(width=WIDE if wide else WIDTH, max_width="100%")


def _usual(label: str, wide: bool = False) -> dict[str, Any]:
    """What all controls have in common."""
    return {"description": label, "style": _STYLE, "layout": _layout(wide)}


def _on_release(label: str) -> dict[str, Any]:
    """What all sliders have in common: their value changes when they are let go, not on the way."""
    return {**_usual(label), "continuous_update": False}


def int_slider(label: str, least: int, most: int) -> widgets.IntSlider:
    """A slider over whole numbers, both ends included; disabled if there is only one."""
    return widgets.IntSlider(least, least, most, disabled=least == most, **_on_release(label))


def float_slider(label: str, least: float, most: float, step: float) -> widgets.FloatSlider:
    """A slider over numbers, both ends included."""
    return widgets.FloatSlider(least, min=least, max=most, step=step, **_on_release(label))


def choice_slider(label: str, options: Sequence[Any]) -> widgets.SelectionSlider:
    """A slider over a few values in their order; an option may be (text, value)."""
    return widgets.SelectionSlider(options=options, disabled=len(options) < 2, **_on_release(label))


def seed_slider(label: str, teachers: int) -> widgets.SelectionSlider:
    """A slider over teachers, named by their seeds; the value is the teacher's number, from 0."""
    return choice_slider(label, [(f"seed {teacher}", teacher) for teacher in range(teachers)])


def number(label: str, least: int, most: int) -> widgets.BoundedIntText:
    """A field for a whole number."""
    settings = {**_usual(label), "layout": widgets.Layout(width="260px")}
    return widgets.BoundedIntText(least, min=least, max=most, **settings)


def dropdown(label: str, options: Sequence[Any], wide: bool = False) -> widgets.Dropdown:
    """A list to choose one of many from; an option may be (text, value).

    JupyterLab keeps the arrow keys for itself, so let the texts begin with numbers, which a reader can type. For a few
    values, use ``choice_slider`` or ``toggles``.
    """
    return widgets.Dropdown(options=options, disabled=len(options) < 2, **_usual(label, wide))


def sentence_options(sentences: Sequence[str], first: int = 0) -> list[tuple[str, int]]:
    """Options of a dropdown: shortened sentences, numbered from ``first``. The values count from 0."""
    return [(f"{place + first}: {shortened(text, 100)}", place) for place, text in enumerate(sentences)]


def shortened(text: str, length: int) -> str:
    """The text, cut to ``length`` letters if it is longer; the last one is then an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def toggles(label: str, options: Sequence[Any]) -> widgets.ToggleButtons:
    """Buttons to choose one of a few, all in sight."""
    settings = {**_usual(label, wide=True), "style": {**_STYLE, "button_width": "auto"}}
    buttons = widgets.ToggleButtons(options=options, **settings)
    buttons.add_class("widget-inline-hbox")  # puts the label beside the buttons, as with all other controls
    return buttons


def text_area(label: str, lines: int) -> widgets.Textarea:
    """A field for lines of text; its value changes when the reader leaves it."""
    return widgets.Textarea(rows=lines, continuous_update=False, **_usual(label, wide=True))


def teacher_boxes(teachers: int) -> Checkboxes:
    """A checkbox for each teacher, named by its seed."""
    return Checkboxes("teachers, by seed", {teacher: str(teacher) for teacher in range(teachers)})


class Checkboxes(widgets.HBox):
    """A label and one checkbox per option, to choose any subset.

    Args:
        label: shown before the boxes. options: {value: text}.

    Attributes:
        value: values of the ticked boxes, in the order of the options.
        disabled: whether all boxes are disabled.
    """

    value = traitlets.Tuple(help="values of the ticked boxes, in the order of the options")
    disabled = traitlets.Bool(False, help="whether all boxes are disabled")

    def __init__(self, label: str, options: Mapping[Any, str]) -> None:
        self._boxes = {
            option: widgets.Checkbox(
                False, description=text, indent=False, layout=widgets.Layout(width="auto", border=_FRAME)
            )
            for option, text in options.items()
        }
        heading = widgets.Label(label, layout=widgets.Layout(flex=f"0 0 {LABEL}px", justify_content="flex-end"))
        row = widgets.HBox(list(self._boxes.values()), layout=widgets.Layout(flex_flow="row wrap", grid_gap="0 4px"))
        super().__init__([heading, row], layout=_layout(wide=True))
        for place, box in enumerate(self._boxes.values()):
            box.add_class(f"dk-box-{place}")
            box.observe(self._ticked, names="value")

    @traitlets.validate("value")
    def _known(self, proposal: Any) -> tuple[Any, ...]:
        return tuple(option for option in self._boxes if option in proposal["value"])

    @traitlets.observe("value")
    def _tick(self, change: Any) -> None:
        for option, box in self._boxes.items():
            box.value = option in change["new"]

    @traitlets.observe("disabled")
    def _disable(self, change: Any) -> None:
        for box in self._boxes.values():
            box.disabled = change["new"]

    def _ticked(self, change: Any) -> None:
        # The boxes follow ``value`` one by one; those that have not followed yet must not change it back.
        wanted = change["new"]
        option = next(option for option, box in self._boxes.items() if box is change["owner"])
        if wanted != (option in self.value):
            self.value = (*self.value, option) if wanted else tuple(kept for kept in self.value if kept != option)
