"""The gallery: a page of its own for looking through the cells."""
