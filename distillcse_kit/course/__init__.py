"""The course: notebooks from their sources, and their execution without a browser."""
