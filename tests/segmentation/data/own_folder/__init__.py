"""Own folders of images and label files."""
