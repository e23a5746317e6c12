"""A use of a backbone: UperNet and Semantic FPN through mmsegmentation."""
