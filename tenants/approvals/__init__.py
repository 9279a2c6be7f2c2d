"""Acts that two people have to want: asked for by one, decided by another."""
