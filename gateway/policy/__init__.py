"""Which protection a call needs, which it got, and the verdict on the difference."""
