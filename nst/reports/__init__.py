"""What a run says of its cells in tables and plots."""
