"""The mistakes a user can mend, as exceptions whose text is the whole message.

Libraries raise these; only the entry points (the command line, the workflow's scripts) turn them
into one printed line and an exit status.
"""


class UserError(ValueError):
    """A mistake outside the program. The message states the rule, the value and the remedy."""


class ConfigError(UserError):
    """A setting is unknown, of the wrong kind or out of range."""


class ImageError(UserError):
    """An image file cannot be used; the message names the file."""


class ExtractorError(UserError):
    """An extractor's file, layer or input size does not fit."""


class CellError(UserError):
    """What is known of finished cells cannot be read, or a picture of theirs is missing."""


class FetchError(UserError):
    """A file could not be fetched, or is not the file that was asked for."""
