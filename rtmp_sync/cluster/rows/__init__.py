"""What the rows of the failover table ask and do, by the state that they are for."""
