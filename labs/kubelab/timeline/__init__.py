"""Who did what when: the objects of a namespace as they changed, and what the controllers said of it.

`history` reads it from the API (watches from an old revision on, and Events), `telling` turns it into rows, `html` draws them.
All is what any cluster offers: an embedded one and a live one are read alike.  Never here: the engine's own diary.
"""
