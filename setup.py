"""What pyproject.toml cannot say: all packages below `retake`, and `retake_cli`, which is `cli/`."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["retake", "retake.*"]), "retake_cli"])
