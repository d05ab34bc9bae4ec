"""Configurations of Flash Media Server and Adobe Media Server, read and carried over."""
