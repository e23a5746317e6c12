"""Tests of engine/evaluation."""
