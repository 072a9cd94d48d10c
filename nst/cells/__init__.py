"""Compute, measure, store and recompute cells."""
