"""Finished cells: measured, kept, and recomputed."""
