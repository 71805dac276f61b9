"""TCP on this machine's own interface."""

from scripts.demonstration.ports import free_ports


def free_port() -> int:
    """A port where nobody listens."""
    (port,) = free_ports(1)
    return port
