"""Synthetic calls: the gateway is called as a browser or a trunk would, and what came of it is measured.

Only the command line imports this package; it looks at the gateway from outside, through its front doors.
"""
