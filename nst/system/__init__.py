"""Files, devices, downloads and locks."""
