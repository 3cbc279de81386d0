"""What is seen of decisions: metrics, drift, audits, recent inputs."""
