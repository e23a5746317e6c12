"""Classification data sets of photographs: their facts, their readers, their splits, and their images as input."""
