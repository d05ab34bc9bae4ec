"""The code broken on purpose, one way at a time, to see that the simulation notices.

Each sabotage replaces a function, a constant or a row of the real code while a seed runs.
"""

from __future__ import annotations

from tests.simulation.sabotage import acknowledgements, claims, copies, leases, records
from tests.simulation.sabotage.registry import SABOTAGES, Sabotage, applied

__all__ = [
    "SABOTAGES",
    "Sabotage",
    "acknowledgements",
    "applied",
    "claims",
    "copies",
    "leases",
    "records",
]
