"""The paper's tables and figures as named experiments, and the kit's own."""
