"""COCO's average precision from the matches of every image, over all images and with groups of them left out."""
