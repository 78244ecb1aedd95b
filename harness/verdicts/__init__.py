"""From stored trials to a verdict on a claim: effect, interval, rule."""
