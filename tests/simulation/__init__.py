"""A deterministic world in which the real code of a pair runs, and everything goes wrong.

`simulate(seed)` runs the real member, decisions, links, copies, records and journals of two
nodes on one simulated clock, with a simulated network, store and disk, under the faults that
the seed draws, and judges from outside: see `verdicts.py`. The same seed is the same world.
"""

from tests.simulation.faults import DEFAULT_MIX, Fault, Mix, plan
from tests.simulation.outcome import Outcome, Violation
from tests.simulation.world import simulate

__all__ = ["DEFAULT_MIX", "Fault", "Mix", "Outcome", "Violation", "plan", "simulate"]
