"""What every room uses: errors with advice, folders, progress, and the hub's client.

Nothing here knows of models or data.
"""
