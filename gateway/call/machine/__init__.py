"""The call as a machine: events in, effects out, in the order they must happen. PURE."""
