"""Values and errors every layer may use; no I/O, no clock, no third-party network library."""
