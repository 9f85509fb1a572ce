"""The course: making the notebooks from their sources, and running them without a browser."""
