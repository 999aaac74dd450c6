"""Administration of a running gateway: what it shows of itself, and the local socket it shows that on."""
