"""What the papers measure themselves against: region features, grid features and the transformers that fuse
them.

Nothing in here imports another room of this project; it is composed from torch, torchvision and transformers.
"""
