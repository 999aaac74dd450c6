"""The relay worker process: one epoll loop that authenticates, decrypts, maps and re-encrypts packets."""
