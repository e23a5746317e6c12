"""Finished trackers, of a run or of OSTrack's code, evaluated on any tracking set; nothing is trained."""
