"""Pictures put side by side: grids, strips, sheets."""
