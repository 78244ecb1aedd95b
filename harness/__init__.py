"""The engine: specs into trials, trials into attempts, attempts into verdicts. It knows no paper."""
