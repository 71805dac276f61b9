"""A command or parameters that the meter does not accept: nothing of it was applied."""


class RefusedError(ValueError):
    """Why, in a sentence for whoever commanded; the meter is as it was."""
