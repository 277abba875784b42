"""The stepper: a packet's way, one moment after the other, with the header before and after and the rules that did not match.

`scenes` turns a trace into moments (plain values), `html` draws them without any script, `widget` makes the same markup live.
Never here: walking packets; whatever is not in the trace is not shown.
"""
