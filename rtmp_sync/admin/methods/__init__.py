"""One file per subject; METHODS of each module are what tools can call."""
