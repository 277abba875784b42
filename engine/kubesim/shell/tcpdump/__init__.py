"""tcpdump's parts: its filter language and its lines.

Belongs here: what turns packets that a host's taps heard into text.  Never here: where packets go, and header fields that
the network does not carry: windows, TCP options and an echo's sequence number are not printed, for they are not simulated.
"""
