"""Where notebooks, commands and explorers get teachers, students and scores."""

from distillcse_kit.laboratory.laboratory import Laboratory

__all__ = ["Laboratory"]
