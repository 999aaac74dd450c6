"""What carries out the effects of calls: sockets, timers, tasks, the relay."""
