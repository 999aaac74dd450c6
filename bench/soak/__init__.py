"""A soak: calls that come and go for a long time on a running gateway, and whether memory, delay and loss stay."""
