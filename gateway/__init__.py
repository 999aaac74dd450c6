"""SIP-to-WebRTC security gateway: a B2BUA that knows, enforces and proves how well every leg is protected."""

__version__ = "0.1.0"
