"""Interfaces, typed data, the engine: what every other room stands on. Imports none of them."""
