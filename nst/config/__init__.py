"""The configuration: what a run is to make, and what everything is called."""
