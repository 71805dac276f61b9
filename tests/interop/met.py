"""Which strangers were met in this run; the end of the run names them."""

MET: list[str] = []


def meet(stranger: str) -> None:
    """Note one, once."""
    if stranger not in MET:
        MET.append(stranger)
