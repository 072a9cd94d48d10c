"""Files, devices, downloads and locks, and the errors that they raise."""
