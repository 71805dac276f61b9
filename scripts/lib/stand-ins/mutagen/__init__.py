"""Stands in for mutagen, so that no GPL package is added for a feature that is never used.

Home Assistant's text-to-speech imports mutagen to write tags into spoken sound, and its page
wants that module importable. Nothing here speaks: the import is all that is needed.
"""


class MutagenError(Exception):
    """Never raised: nothing is read or written."""
