"""The cards bench brings along, one module a family; the registry names them. Nothing here imports torch."""
