"""`python -m training VERB`; the verbs are in `training.cli`."""

from training.cli import main

if __name__ == "__main__":
    main()
