"""The meter as COSEM objects: what a client may read, and what is pushed.

Sans-I/O. All ports see the meter through here, and only as it was last committed.
"""
