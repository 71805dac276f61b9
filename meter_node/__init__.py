"""Meter Node: an intelligent household electricity meter in software.

Data goes one way: sources → metrology → meter → cosem → ports. Must not know Home Assistant.
"""

import os

__version__ = "0.1.0"

# numpy's linear algebra would keep threads of its own that spin for a while after each small
# product: many times the engine's own work, on a machine that should stay cool. It reads this once,
# when it is first imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
