"""Pictures for a page: Graphviz drawings of a packet's way and of the cluster, fit for light and dark themes.

Belongs here: DOT of what only a lab draws (the map), and turning Graphviz' SVG into a figure for HTML.  Never here: looking
anything up in a cluster (callers bring the objects or the trace), and the DOT of a trace, which is `kubesim.net.dot`'s.
"""
