"""Full-reference quality regressors over libvmaf features: encode, score, read, fit, export."""
