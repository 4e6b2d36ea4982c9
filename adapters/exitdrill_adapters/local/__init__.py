"""The child process behind the transformers adapter, and the parent's hold on it.

Parent side, without torch: ``settings``, ``folder``, ``prepare``, ``child``. Child side:
``worker`` and what it imports. Both: ``wire``.
"""
