"""python -m tests.simulation: see run.py."""

from tests.simulation.run import main

if __name__ == "__main__":
    raise SystemExit(main())
