"""readers: one file per way that rows lie on disk; each has `claims`, `scan` and `fetch`."""
