"""kubesim: a Kubernetes cluster that lives inside Python.

Belongs here: the API server and its store, the control loops, kubelets, programs, the network and its rules, DNS, a
terminal and kubectl.  Never here: lessons, labs, grades, notebooks.  Outside `fronts` nothing does I/O, starts a
thread or reads a wall clock: everything follows from a preset, a seed and what is asked.
"""
