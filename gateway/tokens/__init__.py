"""Signed tokens (RFC 7519) by which other systems say who a user is: their issuers, their keys, and what they say."""
