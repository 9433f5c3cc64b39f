"""From an experiment to a measured run: the plan, the servers, the rounds, the conditions of the machine."""
