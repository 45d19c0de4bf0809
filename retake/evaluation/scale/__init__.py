"""Many workers on one benchmark: a process that writes, and processes that answer."""
