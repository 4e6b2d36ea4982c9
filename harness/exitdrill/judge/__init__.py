"""An optional judge: a backend that compares free texts, in both orders, after the replay."""
