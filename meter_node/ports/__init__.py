"""The ways out of the meter. All see the meter through ``cosem`` alone.

A port is a coroutine that runs for as long as the node does and never lets a fault out: a broker
that is away or a line that is cut must not disturb the metering.
"""
