"""The terminal: in pods, on nodes, and outside.

Belongs here: a shell (the parser and the word expansion of just-bash, run by an interpreter of our own over the world's
tasks), the commands that people type at one, a file each in `commands/`, and which of them each kind of system has (`tools`).

Never here: an answer that does not come from the machine.  A command sees the files, sockets, rules and clock of the
machine it runs on and nothing else; `curl` resolves, connects and reads bytes as any program does, and `kubectl` goes
through the machine's way to the API server.  No wall clock, no thread: whatever waits, waits in virtual time.
"""
