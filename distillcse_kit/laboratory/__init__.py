"""The laboratory, where notebooks, command and explorers get their teachers, students and scores."""

from distillcse_kit.laboratory.laboratory import Laboratory

__all__ = ["Laboratory"]
