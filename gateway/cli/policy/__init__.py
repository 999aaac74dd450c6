"""`sip-gateway policy`: why a call must meet what it must, whether that was meant, and what can never matter."""
