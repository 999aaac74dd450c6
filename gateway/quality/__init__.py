"""How well people hear each other: numbers of packets in, an opinion score and a verdict with hysteresis out. PURE."""
