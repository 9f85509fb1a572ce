"""The bench that notebooks, command and explorers work at."""

from distillcse_kit.laboratory.laboratory import Laboratory

__all__ = ["Laboratory"]
