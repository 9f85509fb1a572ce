"""Corpora and scored sentence pairs."""
