"""kube-scheduler: which node a pod goes to.

Belongs here: filters and scores (small functions in the tables of `filters` and `scores`), pure questions of `matching`, and
the loop that binds (`scheduler.Scheduler`).  Never here: running a pod, knowing a node from inside.
"""
