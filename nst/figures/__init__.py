"""Figures of pictures side by side: grids, strips, sheets."""
