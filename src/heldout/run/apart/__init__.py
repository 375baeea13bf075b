"""The user's own code: fitted and asked one model at a time, each in a fresh process that is shut in."""
