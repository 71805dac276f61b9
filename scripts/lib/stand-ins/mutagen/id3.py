"""The names that Home Assistant imports from mutagen.id3; none is ever called."""


class Encoding:
    """Stands in for the text encodings."""


class TALB:
    """Stands in for the tag of an album."""


class TIT2:
    """Stands in for the tag of a title."""


class TPE1:
    """Stands in for the tag of an artist."""
