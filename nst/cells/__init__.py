"""Finished cells: measured, kept, and made again."""
