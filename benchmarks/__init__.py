"""Side by side and in one run: how fast the product is beside the least program that could do the same. No part of the tests."""
