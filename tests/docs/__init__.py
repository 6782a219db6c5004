"""
Every fenced block of the README and the documentation, executed or at least checked.

How to write blocks that are:

- A block names its language. `test_blocks` has a rule for each language; a block that no rule takes
  is an error.
- A block of Python is whole: with its imports, as a reader pastes it. It runs on the site in
  `site/`, which docs/reference/example-site.md describes, while clients are connected. Consumers in
  it are connected to, by somebody who has logged in and by somebody who has not; tests in it are
  run; settings in it are checked. What is said behind ``print(...)  #`` has to be printed, where
  ``<...>`` stands for anything.
- Where its first line names a file (``# shop/views.py``), that file of the site has the block, or
  it runs as if it were there; ``# mysite/settings.py`` runs at the end of the site's settings.
- A block of JavaScript is a module: it runs in Node with the official client, connected to the
  site. One of HTML is a template of the site, and runs in Chromium. Both see the site's server
  whatever host they name.
- Shell commands are parsed by the programs themselves; those of `manage.py` run on the site.
- ``...`` is Python's own, or stands for lines that are left out of an nginx block.
- A page whose blocks make a site of their own has a test of its own: `registry` names it.
"""
