"""The configuration of a run: its images, variants, settings, and the names of its files."""
