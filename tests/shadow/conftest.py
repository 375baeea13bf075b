from zoo_kit import moody  # noqa: F401
