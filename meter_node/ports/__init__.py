"""The ways out of the meter. All see the meter through ``cosem`` alone.

A module (``[[meter.module]]``) is one file with

    class P1Settings(BearerSettings): ...                        what the configuration says of it
    async def run(view: MeterView, settings: P1Settings): ...    until it is cancelled

and a row in ``modules.KINDS``. ``module.MeterView`` is the meter's committed image, and its
``committed()`` the beat; ``bearers`` are lines to whoever is at the other end, opened again
whenever they are gone. docs/modules.md shows it with the S0 port.

A port is a coroutine that runs for as long as the node does and never lets a fault out: a broker
that is away or a line that is cut must not disturb the metering.
"""
