"""An outcome shown: in the terminal, as a picture, on a page."""
