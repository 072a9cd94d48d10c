"""Neural style transfer itself: losses, objective, start, optimiser."""
