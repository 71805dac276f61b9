"""The no-load lock of one register of one phase. Knows nothing of how power was measured."""

# EN 50470-3 lets registration start at 0.04 Itr, which is 0.004 Ib (Itr is a tenth of Ib); the lock
# lies safely below it, and its two levels apart, so that a load between them doesn't chatter. With
# Ib 5 A: off below 8 mA, on above 10 mA.
STOP_SHARE = 0.4
RESUME_SHARE = 0.5

# A current component is power over voltage. Without voltage the quotient means nothing, so below
# this it is reckoned as if there were this much: noise then cannot open the lock.
LEAST_VOLTAGE_V = 40.0


class NoLoadGate:
    """Registers while the component of the current that does the work is worth registering."""

    __slots__ = ("_resume_a", "_stop_a", "registering")

    def __init__(self, starting_current_a: float) -> None:
        self._stop_a = STOP_SHARE * starting_current_a
        self._resume_a = RESUME_SHARE * starting_current_a
        self.registering = False

    def decide(self, power: float, voltage_v: float) -> bool:
        """Whether a second with this power (W or var, either sign) is registered."""
        component_a = abs(power) / max(voltage_v, LEAST_VOLTAGE_V)
        self.registering = component_a >= (self._stop_a if self.registering else self._resume_a)
        return self.registering
