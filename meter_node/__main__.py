"""`python -m meter_node` is `meter-node`."""

from meter_node.cli import main

if __name__ == "__main__":
    main()
