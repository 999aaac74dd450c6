"""Trunks: configured SIP peers, how they are reached, and how their identity is verified."""
