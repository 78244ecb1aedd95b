"""YAML into validated experiments and claims."""
