"""The fronts: the only places that do I/O, wait, or read a wall clock.

Belongs here: HTTP on loopback for real kubectl, the official client's transport, the command line, a person's terminal.  Never
here: what a cluster does; a front only translates bytes and paces the world's queue.
"""
