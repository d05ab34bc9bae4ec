"""What benches measure against, and the processes that they measure in."""
