"""HTTPS: the softphone page, the SIP-over-WebSocket endpoint and the metrics page."""
