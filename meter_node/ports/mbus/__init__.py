"""M-Bus slave (EN 13757-2, EN 13757-3): the meter on two wires, asked by a master.

``link`` frames, ``records`` data records, ``table`` which register is which record, ``slave`` who
answers what: all pure. ``port`` has the settings and the lines. Must not know how the meter works.
"""
