"""Measuring the kit against the plain way of the same work."""
