"""Images read with suspicion, and written."""
