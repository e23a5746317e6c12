"""Parts of the export of image models: graphs, images to calibrate and compare on, parity, manifest."""
