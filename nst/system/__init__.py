"""Files, devices and other programs: what goes wrong there, and who may use what."""
