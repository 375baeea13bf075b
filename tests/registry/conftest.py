from registry_kit import copied, lite, place, postgres, registry, runs  # noqa: F401
