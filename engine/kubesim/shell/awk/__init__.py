"""awk (POSIX XCU): a parser to a tree of tuples, and its evaluation over lines of text.

Belongs here: the language.  The command line (`-F`, `-v`, files) is `commands/awk.py`.
"""
