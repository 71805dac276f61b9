"""Wireless M-Bus (EN 13757-4): the meter tells whoever has the key, and hears nothing.

``frames`` frame formats A and B, ``telegram`` what is in them and how it is ciphered: pure.
``port`` has the settings and sends to a transmitter. Must not know how the meter works.
"""
