"""The torch network of a bundle, so that both can be asked the same."""

from hybrid_model.nn.rebuild import rebuild

__all__ = ["rebuild"]
