"""WHO answers: configuration to argv, the process, readiness, identity and memory."""
