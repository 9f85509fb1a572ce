"""What a reader sees: a real JupyterLab in a real browser."""
