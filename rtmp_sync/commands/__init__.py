"""What each command does; rtmp_sync/cli.py holds their names and options."""
