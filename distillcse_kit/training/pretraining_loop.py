"""The training loop of a pretraining: steps, loss curve, checkpoints."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from distillcse_kit.data.tokens import TokenizedText
from distillcse_kit.encoder.devices import use_bfloat16
from distillcse_kit.errors import KitError
from distillcse_kit.progress import progress_bar
from distillcse_kit.training.checkpoint import load_checkpoint, save_checkpoint
from distillcse_kit.training.masked_lm import batches
from distillcse_kit.training.pretraining_objective import PretrainingObjective

CHECKPOINT_STEPS = 1_000  # a multiple of the steps between two rows of the loss curve
PARTS = ("loss", "bag", "decoder")  # of the objective, as the loss curve calls them


@dataclass
class Pretraining:
    """A pretraining in progress.

    Attributes:
        objective, optimiser: the model with what only its training needs, being trained where they are.
        generator: of the masking; on a CUDA device, where the model is.
        checkpoint: file that ``save`` writes and ``resume`` reads.
        step: steps taken so far.
        curve: rows of the loss curve so far: step, loss of the hidden words in nats, the other parts that are on, and
            tokens per second.
    """

    objective: PretrainingObjective
    optimiser: torch.optim.Optimizer
    generator: torch.Generator
    checkpoint: Path
    step: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)

    def save(self) -> None:
        """Write the checkpoint, completely or not at all."""
        tensors = {"model": self.objective.state_dict(), "masking": {"generator": self.generator.get_state()}}
        state = {"step": self.step, "curve": self.curve}
        save_checkpoint(self.checkpoint, tensors, self.optimiser, state, self.objective.model.device)

    def resume(self) -> None:
        """Continue from the checkpoint, if there is a complete one. torch's global random state stays as it is."""
        # Nothing here draws from the global generators, so the states in the checkpoint are not needed.
        if found := load_checkpoint(self.checkpoint, self.optimiser, ("model", "masking")):
            tensors, state = found
            self.objective.load_state_dict(tensors["model"])
            self.generator.set_state(tensors["masking"]["generator"])
            self.step, self.curve = state["step"], state["curve"]


def run_pretraining(state: Pretraining, text: TokenizedText, compile_model: bool, every: int = 100) -> None:
    """Take the remaining steps where the model is, with a row of the loss curve every ``every`` steps and checkpoints.

    Raises:
        KitError: the loss is not finite, or the disk is full.
    """
    objective, settings = state.objective, state.objective.settings
    device = objective.model.device
    objective.train()
    for module in objective.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    compiled = compile_model and device.type != "mps"  # torch.compile is a prototype there
    losses_of = torch.compile(objective, dynamic=False) if compiled else objective
    weights = torch.tensor([1.0, settings.bag_weight, settings.decoder_weight]).to(device)
    # Summed on the device and read once a row: each reading makes the processor wait for a GPU.
    total, seen, began = torch.zeros(len(PARTS), device=device), torch.zeros((), device=device), time.monotonic()
    progress = progress_bar(
        total=settings.steps, initial=state.step, desc="pretrain", unit="step", mininterval=5, leave=True
    )
    for ids in batches(text, settings, state.step, device):
        if state.step >= settings.steps:
            break
        drawn = objective.draw(ids, state.generator)
        for group in state.optimiser.param_groups:
            group["lr"] = settings.rate_at(state.step)
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16("auto", device)):
            losses = losses_of(*drawn)
        (weights @ losses).backward()
        nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
        state.optimiser.step()
        state.optimiser.zero_grad(set_to_none=True)
        state.step += 1
        total, seen = total + losses.detach(), seen + (ids != 0).sum()
        progress.update()
        if state.step % every == 0 or state.step == settings.steps:
            steps = state.step % every or every
            means = dict(zip(PARTS, (total.cpu() / steps).tolist(), strict=True))
            if not math.isfinite(sum(means.values())):
                raise KitError(f"The loss is {means['loss']} at step {state.step}; lower the learning rate.")
            rate = round(float(seen) / (time.monotonic() - began))
            told = {name: round(mean, 4) for name, mean in means.items() if name == "loss" or mean}
            state.curve.append({"step": state.step, **told, "tokens_per_second": rate})
            progress.set_postfix(**{name: f"{mean:.3f}" for name, mean in told.items()}, tokens_per_second=rate)
            total, seen, began = torch.zeros_like(total), torch.zeros_like(seen), time.monotonic()
        if state.step % CHECKPOINT_STEPS == 0:
            state.save()
    progress.close()
    objective.cpu().eval()
