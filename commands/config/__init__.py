"""What agents are configured with: items of files, served as archives with a version that is derived from what is in them."""
