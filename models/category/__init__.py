"""The category of products and queries: who judges them, how sure, and where a catalogue contradicts itself."""
