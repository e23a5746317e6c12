"""Tests of images in tar archives."""
