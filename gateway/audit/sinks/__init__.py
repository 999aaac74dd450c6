"""Sinks: lines of the audit log on their way to other machines, after they are in the file.

    AuditLog.after_written -> Export -> Sink (queue, task) -> Syslog over TLS, Webhook

A sink never keeps the log or a call waiting: what its queue does not take is counted, and told of in the log.
"""
