"""Cross-sectional return models: which of these assets will do better than the others over the next days?"""
