"""Controls of explorers: plain ipywidgets of one width, that act when they are let go, and checkboxes as one control.

Their values come from the traits that they are linked to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import traitlets

WIDTH = "416px"  # two side by side in a notebook's column on a screen of 1280 pixels
WIDE = "836px"
LABEL = 150  # pixels
LONGEST = 22  # letters that a label of this width holds

_FRAME = "1px solid rgba(128, 128, 128, 0.4)"  # shows which box a number belongs to, on light and dark
_STYLE = {"description_width": f"{LABEL}px"}


def _layout(wide: bool) -> widgets.Layout:
    return widgets.Layout(width=WIDE if wide else WIDTH, max_width="100%")


def int_slider(label: str, least: int, most: int) -> widgets.IntSlider:
    """Whole numbers; disabled where there is no choice."""
    return widgets.IntSlider(
        least,
        least,
        most,
        description=label,
        continuous_update=False,
        style=_STYLE,
        layout=_layout(False),
        disabled=least == most,
    )


def float_slider(label: str, least: float, most: float, step: float) -> widgets.FloatSlider:
    """Numbers from least to most, both included."""
    return widgets.FloatSlider(
        least,
        min=least,
        max=most,
        step=step,
        description=label,
        continuous_update=False,
        style=_STYLE,
        layout=_layout(False),
    )


def choice_slider(label: str, options: Sequence[Any]) -> widgets.SelectionSlider:
    """A few values in their order; an option may be (text, value)."""
    return widgets.SelectionSlider(
        options=options,
        description=label,
        continuous_update=False,
        style=_STYLE,
        layout=_layout(False),
        disabled=len(options) < 2,
    )


def number(label: str, least: int, most: int) -> widgets.BoundedIntText:
    """A whole number that is typed."""
    return widgets.BoundedIntText(
        least, min=least, max=most, description=label, style=_STYLE, layout=widgets.Layout(width="260px")
    )


def dropdown(label: str, options: Sequence[Any], wide: bool = False) -> widgets.Dropdown:
    """One of many; an option may be (text, value).

    JupyterLab takes the arrow keys for itself, so its texts begin with numbers, which can be typed; for a few values
    take ``choice_slider`` or ``toggles``.
    """
    return widgets.Dropdown(
        options=options, description=label, style=_STYLE, layout=_layout(wide), disabled=len(options) < 2
    )


def sentence_options(sentences: Sequence[str], length: int = 100) -> list[tuple[str, int]]:
    """Options of a dropdown: the sentences, numbered and shortened; the values are their places."""
    return [
        (f"{place}: {text if len(text) <= length else text[: length - 1] + '…'}", place)
        for place, text in enumerate(sentences)
    ]


def toggles(label: str, options: Sequence[Any]) -> widgets.ToggleButtons:
    """One of a few, all in sight."""
    buttons = widgets.ToggleButtons(
        options=options,
        description=label,
        style={**_STYLE, "button_width": "auto"},
        layout=widgets.Layout(width=WIDE, max_width="100%"),
    )
    buttons.add_class("widget-inline-hbox")  # the label beside the buttons, as it is with all other controls
    return buttons


def text_area(label: str, lines: int) -> widgets.Textarea:
    """Lines of text, taken when the field is left."""
    return widgets.Textarea(
        description=label, rows=lines, continuous_update=False, style=_STYLE, layout=_layout(wide=True)
    )


class Checkboxes(widgets.HBox):
    """A label and a checkbox for each option: any subset.

    Args:
        label: shown before them. options: {value: text}.

    Attributes:
        value: the values of those that are ticked, in the order of the options.
        disabled: whether they can be ticked.
    """

    value = traitlets.Tuple(help="values of the boxes that are ticked, in the order of the options")
    disabled = traitlets.Bool(False, help="whether they can be ticked")

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
        # While the boxes follow ``value`` one by one, those that are still to follow must not change it back.
        wanted = change["new"]
        option = next(option for option, box in self._boxes.items() if box is change["owner"])
        if wanted != (option in self.value):
            self.value = (*self.value, option) if wanted else tuple(kept for kept in self.value if kept != option)
