"""The ``distillcse`` command: one module for each of its commands."""
