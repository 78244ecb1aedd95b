"""Measuring: latency in interleaved rounds, machine ceilings, FLOPs, memory, environment, equal outputs.

Importing this package imports nothing else. Modules that need no torch (``settings``, ``stages``,
``devices``, ``warmup``, ``rounds``, ``summaries``, ``environment``, ...) can be used without it; ``flops``
and ``equality`` import it at their top, ``probes``, ``memory`` and a CUDA device when they are asked for.

The way through: ``settings.TimingSettings`` says how long and how well to measure, ``rounds.time_arms``
measures and returns raw samples with the reason why it stopped, ``summaries`` condenses kept rounds.
"""
