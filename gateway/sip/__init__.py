"""SIP (RFC 3261) as pure state machines: bytes and time in, messages and events out."""
