"""Presets: which cluster it is.

Belongs here: data - versions, names, ranges, nodes, add-ons - and its reading.  Never here: behaviour; a preset says
*that* pods are on 192.168.0.0/16, and `node.cni` knows what follows from it.

A preset of one's own is a YAML file in the form of those beside this module; wherever a preset is named, its path may
stand instead.
"""

from kubesim.presets.preset import NodeSpec, Preset, load, names

__all__ = ["NodeSpec", "Preset", "load", "names"]
