"""What a run costs: floating-point operations counted, and what the machine could do at best."""

from retake.measure.counting import Counted, Tally, counting
from retake.measure.peak import Bandwidth, MatmulRate, machine, matmul_rate, read_bandwidth

__all__ = [
    "Bandwidth",
    "Counted",
    "MatmulRate",
    "Tally",
    "counting",
    "machine",
    "matmul_rate",
    "read_bandwidth",
]
