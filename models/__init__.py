"""Product or query to unit vectors: the encoders, the entities, and how they are trained and measured."""
