"""A user's own images with boxes: COCO json, YOLO labels and Pascal VOC xml files."""
