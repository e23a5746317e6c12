"""Tests of reading and writing on disks as they are."""
