"""The patches of the API, and what `kubectl apply` makes them from.

Belongs here: applying a JSON patch (RFC 6902), a JSON merge patch (RFC 7386) and a strategic merge patch to a document, and
computing the latter two from what was applied before, what is wanted and what is there.  Never here: whether the result is
a valid object.  Server-side apply is the API server's own, for it needs the owners of fields.

No function changes what it is given.  Errors are `errors.ApiError` as the API server words them.
"""

from kubesim.machinery.patches.json6902 import json_patch
from kubesim.machinery.patches.merge import merge_diff, merge_patch, three_way_merge
from kubesim.machinery.patches.strategic import strategic
from kubesim.machinery.patches.strategicdiff import three_way_strategic, two_way_strategic

__all__ = [
    "json_patch",
    "merge_diff",
    "merge_patch",
    "strategic",
    "three_way_merge",
    "three_way_strategic",
    "two_way_strategic",
]
