"""One run from several load generators: processes on this machine, or on the nodes of a Ray cluster."""
