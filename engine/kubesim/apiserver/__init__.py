"""kube-apiserver: requests in, answers out; the only writer of the store.

Belongs here: paths and verbs, content negotiation, decoding, admission, defaulting, validation and its wording,
allocation of addresses and ports, tables, watches, discovery, OpenAPI, and the loops that kube-apiserver itself runs
(its own namespaces, Service and endpoints).  Never here: what kube-controller-manager, the scheduler or a kubelet does;
sockets; waiting.

A request's way: `server` -> `paths` -> `handlers` (negotiation, decoding) -> `registry` (admission, strategy, validation,
store).  `local.LocalClient` enters at `registry`.  A kind's peculiarities are its strategy (`strategies/`) and its rules
(`validation/`).
"""
