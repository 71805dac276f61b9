"""The meter behind the engine: measurements and time in, registers and wanted states out.

Pure: time comes in as an argument; no clock, file, socket or port is known here.
"""
