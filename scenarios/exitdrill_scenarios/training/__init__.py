"""Data, training and evaluation of the small models, and the workload of `support_triage`."""
