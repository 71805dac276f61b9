"""The meter's display: views, button, and how they are drawn on a page and in a terminal.

Sees the meter through `cosem` alone, as the consumer. Must not know a measurement or a file.
"""
