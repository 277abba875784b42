"""How an exercise looks in a page: the card that asks, and the same card live, with choices to click.

Never here: what is asked and how it is marked (`kubelab.exercises`).
"""
