"""HTTP for operators, load balancers and the peer."""
