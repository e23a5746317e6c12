"""Images with boxes and masks: COCO, its layouts, the embedded miniature and the reading of files."""
