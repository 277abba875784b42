"""Custom resources: what a CustomResourceDefinition adds to the API (upstream: `apiextensions-apiserver`).

Belongs here: the rules for definitions (`definitions`) and their conditions and clean-up (`controller`), resources made of
them (`resource`), and what their structural schemas do to objects: pruning and defaults (`structural`), validity
(`validation`), ownership of fields (`shapes`), columns (`columns`), documents for clients (`documents`).
Never here: what any particular custom resource means; Traefik's and the Gateway API's definitions are add-ons
(`presets.bundles`).

Not simulated, and said in a warning when such a definition is stored: rules in CEL (`x-kubernetes-validations`), conversion by
webhook.
"""
