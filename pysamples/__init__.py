"""Programs written for the standard library alone; triga runs them unchanged. ``python -m pysamples`` runs them all."""
