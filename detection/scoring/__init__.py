"""The COCO metric: official numbers, a second implementation, match tables and result files."""
