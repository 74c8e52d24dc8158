"""Tests of PyTorch modules and their export."""
