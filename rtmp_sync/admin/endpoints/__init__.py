"""One file per endpoint: each module here with an `ENDPOINTS` tuple is served."""
