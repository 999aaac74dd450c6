"""HEP export: SIP messages and reports on media on their way to a capture server such as Homer (HEP version 3).

    endpoint --tap--> Capture (redacted, in turns of the loop) -> Collector (queue, task) -> UDP, TCP or TLS
    ended legs -----> reports ------------------------------------^

Nothing secret is exported, and nobody waits for it: what does not fit into a queue is dropped and counted.
"""
