"""The write side: the catalogue (data), decide and turns (pure), placement (pure), and the engine that carries them out."""
