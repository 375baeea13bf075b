"""Models from elsewhere: their gate, how they were held out, their answers on the way, and asking them again."""
