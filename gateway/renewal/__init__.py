"""Certificates while the gateway runs: files that change are read anew, and what is about to expire is told."""
