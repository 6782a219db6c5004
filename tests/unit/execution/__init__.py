"""How a site's code runs: in this loop, in tasks, in threads."""
