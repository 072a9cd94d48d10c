"""The functions behind the workflow's jobs and the commands of ``nst``."""
