"""What every room uses: errors with advice, folders, progress, forked processes, and the hub's client.

Nothing here knows of models or data.
"""
