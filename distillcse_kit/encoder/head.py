"""SimCSE's head over the [CLS] state: in training, and where a run keeps it, in the saved model too."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from distillcse_kit.errors import KitError

FOLDER = "2_Dense"  # sentence-transformers' name for a linear layer that stands third in modules.json
_WEIGHTS = "model.safetensors"


class TrainingHead(nn.Sequential):
    """SimCSE's Linear + tanh over the [CLS] state, [N, d] -> [N, d]: used in training, dropped at evaluation.

        head(h) = tanh(W h + b)

    With the training setting ``keep_head`` it stays, as in SimCSE's supervised models.

    Args:
        width: d.
        generator: draws the weights, on the CPU; None takes torch's global one. A seed gives the same weights in both.
    """

    def __init__(self, width: int, generator: torch.Generator | None = None) -> None:
        linear = nn.utils.skip_init(nn.Linear, width, width)
        # nn.Linear would draw its own start first; draw as many numbers, so that a seed keeps giving the same head.
        torch.rand(width * width + width, generator=generator)
        nn.init.normal_(linear.weight, std=0.02, generator=generator)
        nn.init.zeros_(linear.bias)
        super().__init__(linear, nn.Tanh())


def save_head(head: nn.Module, folder: Path) -> None:
    """Write the head's weights into a model folder, under sentence-transformers' names."""
    weights = {name.replace("0.", "linear."): weight.cpu().contiguous() for name, weight in head.state_dict().items()}
    (folder / FOLDER).mkdir(exist_ok=True)
    save_file(weights, folder / FOLDER / _WEIGHTS)


def load_head(folder: Path, width: int) -> TrainingHead:
    """The head that ``save_head`` wrote into a model folder.

    Raises:
        KitError: its file is missing or damaged, or has another width.
    """
    file = folder / FOLDER / _WEIGHTS
    try:
        weights = load_file(file)
        head = TrainingHead(width, torch.Generator())
        head.load_state_dict({name.replace("linear.", "0."): weight.float() for name, weight in weights.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        raise KitError(
            f"The head in {file} is missing, damaged or of another width than {width}; get the model's files again."
        ) from error
    return head
