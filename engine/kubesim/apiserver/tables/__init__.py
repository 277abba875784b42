"""Objects as rows, as `kubectl get` shows them (upstream: `pkg/printers/internalversion/printers.go`).

Belongs here: the columns of each kind and how their cells are made.  Never here: how a client lays them out.

`columns.json` (made by `tools/generate_columns.py`) holds the definitions that a real server sends; kinds that it has not are in
`extra`.  A kind without a printer gets its name and when it was created.
"""
