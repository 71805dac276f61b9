"""Meter Node: an intelligent household electricity meter in software.

Data goes one way: sources → metrology → meter → cosem → ports. Must not know Home Assistant.
"""

__version__ = "0.1.0"
