"""How often one address may ask the admin listener: enough for everything of a pair, too little to
hurt it.

Health checks have an allowance of their own, so that nothing else that comes from a load
balancer's address (on one machine everything has one address) can make it see a dead origin.
"""

from __future__ import annotations

from typing import Final

from rtmp_sync.server.rate_limit import Allowance

__all__ = ["API", "CHECKS", "WRONG_CREDENTIALS_COST"]

# A check costs a tenth of a millisecond. A load balancer asks ten times a second at most, and
# a site may have dozens of processes that check from one address.
CHECKS: Final = Allowance(1000.0, 2000.0)
# The peer pings 2 to 4 times a second; `status --watch`, dashboards and scripts come on top.
API: Final = Allowance(100.0, 200.0)

WRONG_CREDENTIALS_COST: Final = 10.0  # requests: so ten guesses a second
