"""What an exit changes in the code of an app: two folders in, a `CodeChange` out.

Read by syntax alone; nothing of the app is imported or run.
"""
