"""SIP transports: sockets in, framed messages out, flows named so a reply goes back where it came from."""
