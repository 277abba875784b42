"""etcd's part: objects by key, one revision for all, history, watchers.

Belongs here: keeping, versioning and telling.  Never here: what an object means, who may change it, HTTP.
"""
