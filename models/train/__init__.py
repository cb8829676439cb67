"""Training of EI-CLIP and of the baselines it is compared with: `python -m models train`."""
