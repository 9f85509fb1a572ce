"""``torch.compile`` for long runs on a GPU, and a plain message where there is no compiler.

Measured (`distillcse bench --gpu`): TODO

Compiling takes a minute. On a GPU, runs of thousands of steps win it back many times over. On a processor it does not
pay for encoders of this size. Nearly all of a step is matrix products, which compiled code leaves to the same library,
and its dropout masks cost more than those of ``dropout.py``: a step of the micro encoder takes a quarter longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from tqdm.auto import tqdm

from distillcse_kit.config import TrainingSettings

STEPS_THAT_REPAY = 2_000


def repays(settings: TrainingSettings, device: torch.device) -> bool:
    """Whether to compile a run: as its setting says; "auto" compiles long runs on a GPU."""
    if settings.compile == "auto":
        return device.type == "cuda" and settings.steps >= STEPS_THAT_REPAY
    return settings.compile == "on"


class Compiled:
    """A module that is compiled when it is first called; apart from that it is the module itself.

    If there is no compiler, or it fails, one sentence says so and the module runs as it is.
    """

    def __init__(self, module: torch.nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
        self._module = module
        self._call: Callable[..., Any] = torch.compile(module, dynamic=True, backend=backend)

    def __call__(self, *arguments: Any) -> Any:
        try:
            return self._call(*arguments)
        except torch._dynamo.exc.TorchDynamoException as error:
            result = self._module(*arguments)  # an error of the module itself is raised here, not blamed on torch
            lines = [line.strip() for line in str(error).splitlines()]
            reason = next((line for line in lines if line and not line.endswith("raised:")), type(error).__name__)
            tqdm.write(
                f"torch.compile failed ({reason}); the run goes on without it, more slowly. "
                "Install a C++ compiler (on a GPU, triton), or set compile to off."
            )
            self._call = self._module
            return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)
