"""The other end: what a utility's head-end does with a meter, through DLMS alone.

Must not know the node, its store or a meter's parts: only what a meter answers.
"""
