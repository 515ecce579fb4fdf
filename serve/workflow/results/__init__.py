"""What runs leave to later ones: kept results, and how long steps took."""
