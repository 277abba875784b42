"""Whether an object is good, kind by kind (upstream: `pkg/apis/*/validation/validation.go`).

Belongs here: functions from objects to lists of `FieldError`, in upstream's order and words.  Never here: looking at other
objects (admission, allocation), changing anything.
"""
