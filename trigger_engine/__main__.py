"""`python -m trigger_engine`: the command line."""

from trigger_engine._cli.main import main

if __name__ == "__main__":
    main()
