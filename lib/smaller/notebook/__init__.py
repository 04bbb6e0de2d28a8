"""What a notebook uses: checked parameters, what it is about to do, its answers and tables; and its run in batch."""
