"""A terminal in the page: a line to type on, and what came of it.

Belongs here: the widget and its markup.  Never here: running anything; lines go to the lab's port, which keeps a shell for
each place.
"""
