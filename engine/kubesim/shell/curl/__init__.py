"""curl 8.5: its options, its transfer over the machine's own network, and what it prints.

Belongs here: what curl itself decides - when to give up, what to say, how the meter looks.  HTTP's bytes are
`programs.http`'s, TLS's are `programs.tls`'s, and names are resolved as on the machine (`shell.sockets`).
"""

VERSION = "8.5.0"
