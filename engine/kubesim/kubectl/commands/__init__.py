"""The commands of kubectl, a module for each or for each group; `main.COMMANDS` says which is where.

Belongs here: what one command takes, asks and prints.  Never here: how arguments, resources or outputs work in general.
"""
