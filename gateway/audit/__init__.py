"""The audit log: one JSON line per security-relevant fact, written before the action it describes."""
