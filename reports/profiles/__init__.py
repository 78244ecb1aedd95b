"""What ``harness profile`` found of a design's arms: which profiles count, and how a report shows them."""
