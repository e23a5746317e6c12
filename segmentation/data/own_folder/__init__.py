"""Read a user's own images and label files: layouts, class lists, colour tables, and what options change in them."""
