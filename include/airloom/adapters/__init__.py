"""One package a vendor. Each implements a port, and translates its vendor's exceptions into `airloom.errors`.

A vendor's library is imported inside the adapter's own package only. No adapter imports another.
"""
