"""What both ends of the Consumer Communication Channel know: bytes to readings and back.

Standard library only, relative imports only, no I/O, no clock: the same files serve the node
(through a link) and the Home Assistant integration.
"""
