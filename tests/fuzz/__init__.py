"""Generated cases of every kind, and what runs and judges them: see docs/testing.md."""
