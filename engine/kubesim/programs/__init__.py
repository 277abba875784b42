"""The programs that containers run: a file for each image (or family of them), found by the image's name.

Belongs here: what the real program does as seen from outside - where it listens, what it answers, what it logs, how it
ends - and the seams they share: `http` (HTTP/1.1 over the simulated network), `tls` (what both ends know after a
handshake), `entry` (which program a container's command starts).  `images` finds an image by any of its names; a new image
is a new file and a line in its table.

Never here: the node's side (pulling, restarting, probing: `node`), and shortcuts: a program reaches another one by a
name, an address and a packet, or not at all.
"""
