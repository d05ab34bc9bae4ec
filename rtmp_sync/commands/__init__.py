"""What each command does; rtmp_sync/cli holds their names and options."""
