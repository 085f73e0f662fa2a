"""What the system tests share: a network of namespaces, the program as a process, the wire."""
