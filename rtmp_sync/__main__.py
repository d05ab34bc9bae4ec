"""`python -m rtmp_sync` is `rtmp-sync`."""

from rtmp_sync.cli import main

if __name__ == "__main__":
    main()
