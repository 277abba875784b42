"""The course as a static book: for reading without running.

`book` runs the notebooks and writes the pages, `page` draws one, `links` finds what leads nowhere.  Pages need no script and ask
nobody for anything; the steppers step all the same.  Keys stay out: what is shown is a learner's copy.
"""
