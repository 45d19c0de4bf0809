"""Runs over benchmarks: answered, kept, resumed, summed up and compared."""
