"""Sources, encoders and cells: frames decoded, measured, encoded and scored."""
