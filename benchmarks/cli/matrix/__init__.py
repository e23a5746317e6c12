"""What the verbs about many cells share: their options, the plan and the display of a sweep."""
