"""Neural style transfer as a reproducible batch job.

Importing ``nst`` itself is cheap: torch is only loaded by the modules that compute with it.
"""

__version__ = "0.1.0"
