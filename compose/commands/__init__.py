"""Commands that ask the API, a module for each subject; they import nothing but typer, so that `--help` is quick."""
