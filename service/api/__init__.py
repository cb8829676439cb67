"""The HTTP surface: wire types and routes that translate and delegate."""
