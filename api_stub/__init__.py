"""sendcode's HTTP doors."""
