"""A causal model in a local directory, computed in a child process.

The parent's side imports nothing heavy: `backend`, `settings`, `folder`, `prepare`, `child`. The
child runs `worker` and what that imports; `wire` is what both speak.
"""

from exitdrill_adapters.transformers.backend import TransformersBackend

__all__ = ["TransformersBackend"]
