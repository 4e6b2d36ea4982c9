"""The built-in adapters: a module per protocol or runtime."""
