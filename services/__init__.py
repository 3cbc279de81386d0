"""The pipeline: edge workers, cloud workers, sources and the demo around one network in two places."""
