"""What a study reads: which encoders and data a profile needs, bringing them here, and checking that all is here."""
