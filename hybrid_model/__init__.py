"""The hybrid network: training, the bundle, the edge runtime and the cloud half. Knows nothing of brokers or queues."""
