"""Model check: an explicit search of all states that a pair can be in, on the code that runs.

Two nodes, each the real `cluster.Member` (its rows, its observer, its bookkeeping); between them a
model of the link, of the store (`file` or `etcd`), of gates, guards, disks and clocks, in ticks. A
search visits every state that can be reached with so many faults, in every order of what
happens. It differs from the simulation in that it leaves nothing to chance and much to the model:
see `course` and `happenings`.

    tokens, aging, frozen, names    values that are equal when nothing tells them apart
    life                            one process: a member and its adapter, remembered
    state, store, course            the pair, its store, what follows from what happens
    happenings                      what can happen next
    search, liveness                the states, and what must hold in them
    sabotage, article               rules that it must find wrong
"""
