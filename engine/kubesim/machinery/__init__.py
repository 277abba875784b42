"""Pure object work, as apimachinery's utility packages do it: objects in, objects out.

Belongs here: copies, owner references, selectors, quantities, names, durations, JSONPath, the patches.  An object is a
plain dict as JSON has it.  Never here: a request, a store, a clock, the rules of one kind (those are the schema's and
the API server's).
"""
