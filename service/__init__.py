"""Query to hits: the HTTP service over a published bundle and its encoder."""
