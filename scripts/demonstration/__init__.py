"""The demonstration: broker, meters and Home Assistant on one machine, set up without a click.

Starts the project's own commands as a homeowner would; imports nothing of the node and nothing
of the integration.
"""
