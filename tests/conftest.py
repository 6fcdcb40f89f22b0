"""Settings of the whole suite. Programs that are not tests are not collected."""

collect_ignore_glob = ["benchmarks/[cf]*.py", "golden/*.py"]
