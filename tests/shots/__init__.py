"""Pictures of every page for the documentation: `./dev shots`."""
