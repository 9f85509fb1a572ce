"""Measures the kit against the plain way of doing the same work."""
