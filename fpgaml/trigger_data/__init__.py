"""Trigger events from Pythia: pools of generated collisions, and bunch crossings mixed from them.

``processes`` says which collisions are generated, ``pythia_events`` generates them, ``event_pool`` holds them,
``generation`` spreads that over worker processes and keeps finished chunks; ``strata`` does the rates, ``images`` bins
particles, and ``crossings`` mixes.
"""
