"""`sip-gateway audit`: what the log says, whether it is whole, and what came of a month."""
