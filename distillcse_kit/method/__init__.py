"""The paper's equations, and nothing else: losses, shuffling, and the averaging of teachers."""
