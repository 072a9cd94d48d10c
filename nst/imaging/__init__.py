"""Load untrusted image files, check and convert them, and save pictures."""
